// An encoder in memory, without LibTorch: texts in, one vector a text out (BERT and its relatives).
//
// Texts of a batch lie one after the other without padding: linear layers take all their rows at
// once, attention each text for itself. So a text's result has the same bytes in every batch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/runtime/model.h"

namespace attar {

/// The ids of one text. `types` (segments) is as long, or empty: all 0.
struct TextIds {
  std::span<const int32_t> ids, types;
};

/// Words, positions and token types, summed and normed: what a model's first block reads.
class TextEmbedding {
 public:
  /// `spec` must outlive it. bad_input for tables of the wrong shape or not finite.
  TextEmbedding(const ModelSpec& spec, const WeightSource& weights);
  /// hidden [Σ texts' ids, hidden]. bad_input: a text without ids or with more than the model's
  /// positions, ids or types outside their tables.
  void apply(std::span<const TextIds> texts, float* hidden) const;
  uint64_t bytes() const;

 private:
  void apply(const TextIds& text, size_t index, float* hidden) const;

  const ModelSpec* spec_;
  DenseTensor words_, positions_, types_;
  std::shared_ptr<const class Norm> norm_;
};

/// From the last hidden states to a vector: pooling, then for a classifier pooler and classifier.
class EncoderHead {
 public:
  /// With `cache`, packed matrices come from there.
  EncoderHead(const ModelSpec& spec, const WeightSource& weights, PackedCache* cache = nullptr);
  /// Labels of a classifier, else the hidden size.
  int64_t width() const;
  /// hidden [Σ lengths, hidden] -> out [lengths, width]; not normalized. Throws failure naming the
  /// text whose result is not finite.
  void apply(const float* hidden, std::span<const int64_t> lengths, Activations activations,
             float* out) const;
  uint64_t bytes() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

class EncoderModel {
 public:
  /// Checks that values are finite and packs them. bad_input also for a model that writes text;
  /// failure when packed matrices are to be kept and can't be written.
  static std::shared_ptr<const EncoderModel> load(const Model& opened,
                                                  const RuntimeOptions& options = {});

  const ModelSpec& spec() const;
  uint64_t bytes() const;
  int64_t width() const;  // of a result, see EncoderHead

  /// Results of the texts, [texts, width]: a classifier's logits, else pooled vectors (not
  /// normalized). Errors as of TextEmbedding and EncoderHead.
  std::vector<float> run(std::span<const TextIds> texts) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

/// Divides by the Euclidean length; a vector of zeros stays.
void normalize_vector(std::span<float> vector);

/// Probabilities (or numbers) that logits [labels] stand for.
std::vector<double> label_scores(std::span<const float> logits, LabelScores kind);

}  // namespace attar
