// From files to token windows: text, JSONL, CSV, TSV, directories of text files, ready-made ids.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/recipe/recipe.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

/// The documents of a text-like data entry, in file order (a directory: by path). bad_input:
/// missing, empty, malformed line (with its number), absent field, invalid UTF-8. `skip` and `take`
/// count documents, of a single text its lines.
std::vector<std::string> load_documents(const DataSpec& data);

/// What was done to get the windows; a row of the report.
struct DataFacts {
  std::string source, tokenizer_hash;
  int64_t documents = 0, tokens = 0, windows = 0, window = 0;
  int64_t dropped_tokens = 0;  // the partial window at the end
  int64_t bos_added = 0;       // tokens that the tokenizer's template added
  std::string sha256;          // of the ids used
};

/// Equally long windows of ids: ids[w · window + i].
struct TokenWindows {
  int64_t window = 0;
  std::vector<int32_t> ids;
  DataFacts facts;
  int64_t count() const { return window ? static_cast<int64_t>(ids.size()) / window : 0; }
  std::span<const int32_t> at(int64_t w) const {
    return {ids.data() + w * window, static_cast<size_t>(window)};
  }
};

/// Evaluation and calibration windows, protocol `gptq`: documents joined (by blank lines; a single
/// text as it stands), tokenized once with the tokenizer's own template, cut into non-overlapping
/// windows of `window` ids; the partial last one is dropped and counted. `format: ids` [1, T] is
/// cut likewise, [N, T] is used as it stands. `data.length` replaces `window`. `samples` draws that
/// many windows with `seed`, kept in order. Throws bad_input when not one window can be had, and
/// for ids outside [0, vocab).
TokenWindows evaluation_windows(const DataSpec& data, const Tokenizer* tokenizer, int64_t window,
                                int64_t vocab, uint64_t seed);

/// Training windows of `window` + 1 ids (inputs and next ids): every document with the tokenizer's
/// template and an end token, packed one after the other. `format: ids` [N, T] is used as it stands
/// (T ids a window). `samples` draws that many windows with `seed`, kept in order.
TokenWindows training_windows(const DataSpec& data, const Tokenizer* tokenizer, int64_t window,
                              int64_t vocab, uint64_t seed = 0);

}  // namespace attar
