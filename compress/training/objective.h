// What a training run minimizes, over numbered examples: the loop orders them, makes steps of them
// and knows nothing else.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compress/model/trainable_model.h"

namespace attar {

class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t examples() const = 0;
  /// Terms of the loss that each example has: the predictions of a window, one of a text.
  virtual int64_t terms() const = 0;
  /// What terms are called in progress and report: "tokens", "texts".
  virtual const char* unit() const = 0;
  /// Names and weights of the parts whose weighted sum is the loss.
  virtual std::vector<std::string> parts() const = 0;
  virtual std::vector<double> weights() const = 0;

  /// Forward and backward of one batch: adds scale · ∂(Σ loss over all terms)/∂ to the gradients;
  /// returns the parts, summed over the terms, unweighted. `dropout_seed` 0: no dropout.
  virtual std::vector<double> backward(std::span<const int64_t> examples, double scale,
                                       uint64_t dropout_seed) = 0;
  /// Mean loss over held-out data, `batch` examples at a time; nothing without such data.
  virtual std::optional<double> held_out(int64_t batch) = 0;

  /// A few examples' inputs, to compare the model before and after it was written.
  virtual ModelInput probe() const = 0;
  /// Rows of the report: where the data come from.
  virtual nlohmann::ordered_json data_facts() const = 0;
};

}  // namespace attar
