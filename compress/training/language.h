// Next-token prediction: windows of ids through a causal model, a loss on each position's logits,
// with or without a teacher.
#pragma once

#include "compress/data/dataset.h"
#include "compress/distributions/store.h"
#include "compress/training/objective.h"
#include "compress/training/row_loss.h"

namespace attar {

class LanguageObjective : public Objective {
 public:
  /// All arguments must outlive it; `validation` may be null. The teacher is a model, or the
  /// distributions of one over every window that comes up; both may be null.
  LanguageObjective(TrainableModel& model, const TokenWindows& windows,
                    const TokenWindows* validation, const RowLoss& loss, TrainableModel* teacher,
                    const DistributionStore* kept = nullptr)
      : model_(model),
        windows_(windows),
        validation_(validation),
        loss_(loss),
        teacher_(teacher),
        kept_(kept) {}

  int64_t examples() const override { return windows_.count(); }
  int64_t terms() const override { return windows_.window - 1; }
  const char* unit() const override { return "tokens"; }
  std::vector<std::string> parts() const override { return loss_.parts(); }
  std::vector<double> weights() const override { return loss_.weights(); }
  std::vector<double> backward(std::span<const int64_t> examples, double scale,
                               uint64_t dropout_seed) override;
  /// Cross-entropy in nats, whatever the loss is.
  std::optional<double> held_out(int64_t batch) override;
  ModelInput probe() const override;
  nlohmann::ordered_json data_facts() const override;

 private:
  TrainableModel& model_;
  const TokenWindows& windows_;  // of inputs and next ids
  const TokenWindows* validation_;
  const RowLoss& loss_;
  TrainableModel* teacher_;
  const DistributionStore* kept_;
};

/// Mean cross-entropy of every id after the first of each window, in nats.
double held_out_loss(TrainableModel& model, const TokenWindows& windows, int64_t batch);

}  // namespace attar
