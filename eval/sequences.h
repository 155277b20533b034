// What is scored: id sequences and which of their ids are predicted, by the protocol they stand
// for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/data/dataset.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar::eval {

/// One text that a model reads from its start: the ids after position `first` are predicted, each
/// from all those before it.
struct Sequence {
  int64_t begin = 0, length = 0;  // ids [begin, begin + length) of the set
  int64_t first = 0;              // position of the first prediction, of the id at first + 1

  int64_t predictions() const { return length - 1 - first; }
};

/// Sequences in units, the pieces that intervals take as independent: windows, documents, examples.
struct Sequences {
  std::string unit = "window";
  std::vector<int32_t> ids;
  std::vector<Sequence> list;
  std::vector<int64_t> starts = {0};  // unit u has list[starts[u]] … list[starts[u + 1] − 1]

  int64_t units() const { return static_cast<int64_t>(starts.size()) - 1; }
  int64_t count() const;    // predictions of all sequences
  int64_t longest() const;  // ids of the longest sequence
  std::span<const int32_t> at(const Sequence& s) const {
    return {ids.data() + s.begin, static_cast<size_t>(s.length)};
  }
  /// Appends a sequence to the last unit; close() ends it.
  void add(std::span<const int32_t> text, int64_t first);
  void close() { starts.push_back(static_cast<int64_t>(list.size())); }
};

/// Protocol `gptq`: in every window every id after the first is predicted.
Sequences whole_windows(const TokenWindows& windows);

/// Protocol `llama_cpp`: of every chunk only the second half is predicted, from position
/// length / 2 on; `bos` (if any) stands in the place of each chunk's first id, as llama-perplexity
/// does it.
Sequences second_halves(const TokenWindows& windows, std::optional<int32_t> bos);

/// What a text counts, by the rules of lm-evaluation-harness: pieces between runs of white space
/// (an empty one at either end counts), and UTF-8 bytes.
struct TextSize {
  int64_t words = 0, bytes = 0;
};
TextSize text_size(std::string_view text);

/// Protocols `lm_eval_word` and `lm_eval_byte`: rolling log-likelihood. A unit is a document; every
/// id of it is predicted once. The first window starts with `prefix`, the others with as much of
/// the text before them as fits: `window` ids are read at a time.
Sequences rolling(const std::vector<std::vector<int32_t>>& documents, int32_t prefix,
                  int64_t window);

}  // namespace attar::eval
