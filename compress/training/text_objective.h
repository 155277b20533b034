// What encoders learn from texts: a loss on the classifier's logits (labels, a teacher's logits, or
// both) or on the pooled vector (a teacher's); and vectors of texts that belong together.
#pragma once

#include "compress/data/text_set.h"
#include "compress/training/objective.h"
#include "compress/training/row_loss.h"

namespace attar {

/// A batch of texts, padded at the right to the longest.
ModelInput text_batch(const TokenWindows& texts, std::span<const int64_t> examples, int64_t pad_id);

/// What objectives over texts have in common; one term a text.
class EncoderObjective : public Objective {
 public:
  int64_t examples() const override { return texts_.count(); }
  int64_t terms() const override { return 1; }
  const char* unit() const override { return "texts"; }
  /// The loss itself.
  std::optional<double> held_out(int64_t batch) override;
  ModelInput probe() const override;
  nlohmann::ordered_json data_facts() const override;

 protected:
  /// All arguments must outlive it; `validation` may be null.
  EncoderObjective(TrainableModel& model, const TextSet& texts, const TextSet* validation)
      : model_(model), texts_(texts), validation_(validation) {}

  /// The loss of some held-out examples, summed; without a graph.
  virtual double held_out_loss(std::span<const int64_t> examples) = 0;

  TrainableModel& model_;
  const TextSet& texts_;
  const TextSet* validation_;
};

/// A RowLoss on each text's output: a classifier's logits, an embedder's vector.
class TextObjective : public EncoderObjective {
 public:
  /// The same texts as the teacher reads them; `model` null: no teacher.
  struct Teacher {
    TrainableModel* model = nullptr;
    const TextSet* texts = nullptr;
  };
  /// All arguments must outlive it; `validation` may be null.
  TextObjective(TrainableModel& model, const TextSet& texts, const RowLoss& loss, Teacher teacher,
                const TextSet* validation, Teacher validation_teacher)
      : EncoderObjective(model, texts, validation),
        loss_(loss),
        teacher_(teacher),
        validation_teacher_(validation_teacher) {}

  std::vector<std::string> parts() const override { return loss_.parts(); }
  std::vector<double> weights() const override { return loss_.weights(); }
  std::vector<double> backward(std::span<const int64_t> examples, double scale,
                               uint64_t dropout_seed) override;

 private:
  double held_out_loss(std::span<const int64_t> examples) override;
  std::vector<double> rows(const TextSet& texts, const Teacher& teacher,
                           std::span<const int64_t> examples, const at::Tensor& outputs,
                           float scale, at::Tensor* gradient) const;

  const RowLoss& loss_;
  Teacher teacher_, validation_teacher_;
};

/// In-batch negatives: of the second texts of a batch, the first text's own is to be the nearest.
/// loss_i = −log softmax_j(s · cos(a_i, b_j))_i with s = 20, where texts b_j equal to b_i do not
/// count as wrong ones (Henderson et al.: Efficient Natural Language Response Suggestion, 2017,
/// §4.4; Reimers and Gurevych's MultipleNegativesRankingLoss has this scale).
class PairObjective : public EncoderObjective {
 public:
  /// `validation` may be null. Throws bad_input where a batch would have no wrong texts.
  PairObjective(TrainableModel& model, const TextSet& pairs, const TextSet* validation,
                int64_t batch);

  std::vector<std::string> parts() const override { return {"contrastive"}; }
  std::vector<double> weights() const override { return {1.0}; }
  std::vector<double> backward(std::span<const int64_t> examples, double scale,
                               uint64_t dropout_seed) override;

 private:
  double held_out_loss(std::span<const int64_t> examples) override;
  at::Tensor loss(const TextSet& pairs, std::span<const int64_t> examples, uint64_t dropout_seed);
};

}  // namespace attar
