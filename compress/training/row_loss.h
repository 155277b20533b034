// A loss on the logits of one position, value and gradient at once. Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/distributions/top_rows.h"

namespace attar {

/// One position. Of the teacher there are logits, or the kept part of its distribution, or nothing.
struct LossInput {
  int64_t vocab = 0;
  int64_t label = 0;               // the id that follows
  const float* student = nullptr;  // logits [vocab]
  const float* teacher = nullptr;  // logits [vocab]
  const TopRow* kept = nullptr;
};

class RowLoss {
 public:
  virtual ~RowLoss() = default;
  /// Names of the parts whose weighted sum is the loss.
  virtual std::vector<std::string> parts() const = 0;
  /// Weight of each part.
  virtual std::vector<double> weights() const = 0;
  /// Adds scale · ∂loss/∂student to grad [vocab] unless that is null; sets values [parts],
  /// unweighted.
  virtual void row(const LossInput& input, float scale, float* grad, double* values) const = 0;
};

/// The usual language-model loss: cross-entropy with the id that follows.
class CrossEntropy : public RowLoss {
 public:
  std::vector<std::string> parts() const override { return {"ce"}; }
  std::vector<double> weights() const override { return {1.0}; }
  void row(const LossInput& input, float scale, float* grad, double* values) const override;
};

/// log_p = log softmax(x / T), p = softmax(x / T), all [count].
void log_softmax(const float* x, int64_t count, float temperature, float* log_p, float* p);

}  // namespace attar
