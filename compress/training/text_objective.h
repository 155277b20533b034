// What encoders learn from texts: a loss on the classifier's logits (labels, a teacher's logits, or
// both) or on the pooled vector (a teacher's); and vectors of texts that belong together.
#pragma once

#include "compress/data/text_set.h"
#include "compress/training/objective.h"
#include "compress/training/row_loss.h"

namespace attar {

/// A batch of texts, padded at the right to the longest.
ModelInput text_batch(const TokenWindows& texts, std::span<const int64_t> examples, int64_t pad_id);

/// A RowLoss on each text's output: a classifier's logits, an embedder's vector.
class TextObjective : public Objective {
 public:
  /// The same texts as the teacher reads them; `model` null: no teacher.
  struct Teacher {
    TrainableModel* model = nullptr;
    const TextSet* texts = nullptr;
  };
  /// All arguments must outlive it; `validation` may be null.
  TextObjective(TrainableModel& model, const TextSet& texts, const RowLoss& loss, Teacher teacher,
                const TextSet* validation, Teacher validation_teacher)
      : model_(model),
        texts_(texts),
        loss_(loss),
        teacher_(teacher),
        validation_(validation),
        validation_teacher_(validation_teacher) {}

  int64_t examples() const override { return texts_.count(); }
  int64_t terms() const override { return 1; }
  const char* unit() const override { return "texts"; }
  std::vector<std::string> parts() const override { return loss_.parts(); }
  std::vector<double> weights() const override { return loss_.weights(); }
  std::vector<double> backward(std::span<const int64_t> examples, double scale,
                               uint64_t dropout_seed) override;
  /// The loss itself.
  std::optional<double> held_out(int64_t batch) override;
  ModelInput probe() const override;
  nlohmann::ordered_json data_facts() const override;

 private:
  std::vector<double> rows(const TextSet& texts, const Teacher& teacher,
                           std::span<const int64_t> examples, const at::Tensor& outputs,
                           float scale, at::Tensor* gradient) const;

  TrainableModel& model_;
  const TextSet& texts_;
  const RowLoss& loss_;
  Teacher teacher_;
  const TextSet* validation_;
  Teacher validation_teacher_;
};

/// In-batch negatives: of the second texts of a batch, the first text's own is to be the nearest.
/// loss_i = −log softmax_j(s · cos(a_i, b_j))_i with s = 20, where texts b_j equal to b_i do not
/// count as wrong ones (Henderson et al.: Efficient Natural Language Response Suggestion, 2017,
/// §4.4; Reimers and Gurevych's MultipleNegativesRankingLoss has this scale).
class PairObjective : public Objective {
 public:
  /// `validation` may be null. Throws bad_input where a batch would have no wrong texts.
  PairObjective(TrainableModel& model, const TextSet& pairs, const TextSet* validation,
                int64_t batch);

  int64_t examples() const override { return pairs_.count(); }
  int64_t terms() const override { return 1; }
  const char* unit() const override { return "texts"; }
  std::vector<std::string> parts() const override { return {"contrastive"}; }
  std::vector<double> weights() const override { return {1.0}; }
  std::vector<double> backward(std::span<const int64_t> examples, double scale,
                               uint64_t dropout_seed) override;
  std::optional<double> held_out(int64_t batch) override;
  ModelInput probe() const override;
  nlohmann::ordered_json data_facts() const override;

 private:
  at::Tensor loss(const TextSet& pairs, std::span<const int64_t> examples, uint64_t dropout_seed);

  TrainableModel& model_;
  const TextSet& pairs_;
  const TextSet* validation_;
};

}  // namespace attar
