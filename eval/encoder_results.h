// Classifiers and embedders over labelled texts: what their metrics look at.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compress/data/labelled.h"
#include "compress/runtime/encoder.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar::eval {

/// The texts that all models of an evaluation read.
struct LabelledSet {
  std::vector<LabelledText> rows;
  std::string path, sha256;  // of the file
  bool labelled = false;     // the rows have labels
  bool pairs = false;

  int64_t count() const { return std::ssize(rows); }
};

/// Reads the request's data; without labels where the file has no such column.
LabelledSet load_set(const DataSpec& data, uint64_t seed);

/// One model's results over the texts.
struct EncoderResults {
  ModelSpec spec;
  /// A classifier's logits [count, labels]; an embedder's vectors of unit length [count, hidden].
  std::vector<float> values;
  std::vector<float> second;     // an embedder's, of the second texts of pairs
  LabelIndices labels;           // a classifier's, where the rows have labels
  int64_t width = 0, count = 0;  // of values: columns, rows
  int64_t tokens = 0, cut = 0;   // ids read; texts that were cut to the model's maximum

  std::span<const float> row(int64_t i) const {
    return std::span(values).subspan(static_cast<size_t>(i * width), static_cast<size_t>(width));
  }
  /// The label that a classifier chooses: the largest logit, the first among equals.
  int64_t choice(int64_t i) const;
};

/// Runs a model over the texts. With `length`, texts are cut to so many ids (at most what the model
/// takes). bad_input: a text longer than it takes otherwise (naming the row), labels that are none
/// of a classifier's, pairs for a model without them; failure naming the row for results that are
/// not finite. `name` is for messages.
EncoderResults run_encoder(const std::string& name, const Model& opened, const Tokenizer& tokenizer,
                           const LabelledSet& set, const std::optional<int64_t>& length,
                           const RuntimeOptions& runtime = {});

}  // namespace attar::eval
