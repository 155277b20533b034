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

/// Equally long windows of ids, ids[w · window + i], or (`starts` not empty) texts of any length,
/// one after the other: text w has the ids [starts[w], starts[w + 1]), at most `window`.
struct TokenWindows {
  int64_t window = 0;
  std::vector<int32_t> ids;
  std::vector<int64_t> starts;
  std::vector<int32_t> types;  // of texts, where a second text of pairs has its own; like ids
  DataFacts facts;
  int64_t count() const {
    if (!starts.empty()) return static_cast<int64_t>(starts.size()) - 1;
    return window ? static_cast<int64_t>(ids.size()) / window : 0;
  }
  int64_t start(int64_t w) const {
    return starts.empty() ? w * window : starts[static_cast<size_t>(w)];
  }
  std::span<const int32_t> at(int64_t w) const {
    return {ids.data() + start(w), static_cast<size_t>(start(w + 1) - start(w))};
  }
};

/// bad_input where the tokenizer's file asks for truncation: a text would lose its end unsaid.
/// `where` is what uses it.
void require_whole_texts(const Tokenizer& tokenizer, const std::string& where);

/// Evaluation and calibration windows, protocol `gptq`: documents joined (by blank lines; a single
/// text as it stands), tokenized once with the tokenizer's own template, cut into non-overlapping
/// windows of `window` ids; the partial last one is dropped and counted. `format: ids` [1, T] is
/// cut likewise, [N, T] is used as it stands. `data.length` replaces `window`. `samples` draws that
/// many windows with `seed`, kept in order. Throws bad_input when not one window can be had, and
/// for ids outside [0, vocab).
TokenWindows evaluation_windows(const DataSpec& data, const Tokenizer* tokenizer, int64_t window,
                                int64_t vocab, uint64_t seed);

/// What an encoder is calibrated with: single texts as it reads them ([CLS] text [SEP]), never
/// joined. Rows of JSONL, CSV and TSV (with `data.pair`: pairs), documents of a parted text, lines
/// of any other. A text longer than `longest` ids is bad_input naming it; `data.length` cuts texts,
/// and facts.dropped_tokens counts what went. `samples` draws that many texts with `seed`.
TokenWindows text_windows(const DataSpec& data, const Tokenizer& tokenizer, int64_t longest,
                          int64_t vocab, uint64_t seed);

/// Training windows of `window` + 1 ids (inputs and next ids): every document with the tokenizer's
/// template and an end token, packed one after the other. `format: ids` [N, T] is used as it stands
/// (T ids a window). `samples` draws that many windows with `seed`, kept in order.
TokenWindows training_windows(const DataSpec& data, const Tokenizer* tokenizer, int64_t window,
                              int64_t vocab, uint64_t seed = 0);

}  // namespace attar
