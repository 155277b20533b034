// Texts as an encoder reads them, one by one, with what is to be learned from each: its label, or
// another text that belongs to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/data/dataset.h"
#include "compress/data/labelled.h"

namespace attar {

/// Rows of JSONL, CSV and TSV (load_labelled); documents of a parted text, lines of any other,
/// which have no labels.
std::vector<LabelledText> load_texts(const DataSpec& data, bool needs_label, uint64_t seed);

/// What of a row becomes ids: everything (of a pair both, as one input), or one of its two texts.
enum class TextPart { whole, first, second };
struct TextLimit {
  int64_t ids = 0;
  bool cuts = false;  // longer texts lose their ends; otherwise they are errors
};
/// One text a row, with the tokenizer's template. bad_input: a text that is too long (see
/// TextLimit), ids outside [0, vocab), invalid UTF-8.
TokenWindows encoded_texts(const std::vector<LabelledText>& rows, TextPart part,
                           const Tokenizer& tokenizer, const TextLimit& limit, int64_t vocab,
                           const DataSpec& data);

struct TextSet {
  TokenWindows texts;
  TokenWindows partners;        // of pairs whose texts stand for themselves; else empty
  std::vector<int64_t> labels;  // of each text, an index of the model's; empty without labels
  int64_t count() const { return texts.count(); }
};

/// What a model learns from its texts.
struct TextUse {
  enum class Labels { none, optional, required } labels = Labels::none;
  bool partners = false;  // `pair` is required, and its texts are read by themselves
};

/// `labels` are the model's, in order. Texts longer than `longest` ids lose their ends, which
/// facts.dropped_tokens counts. `format: ids`: rows of input_ids [N, T] are texts as they stand, a
/// tensor `labels` [N] has their labels' indices. Throws bad_input: no tokenizer, labels that are
/// missing or none of the model's, pairs that are missing, empty data.
TextSet load_text_set(const DataSpec& data, const Tokenizer* tokenizer,
                      const std::vector<std::string>& labels, const TextUse& use, int64_t longest,
                      int64_t vocab, uint64_t seed);

}  // namespace attar
