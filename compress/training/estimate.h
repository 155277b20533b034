// What training will take, from the configuration alone: for `attar plan`. Free of LibTorch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/dtype.h"
#include "compress/training/options.h"

namespace attar {

struct TrainingLoad {
  const ModelSpec& spec;  // what is trained
  int64_t trainable = 0;  // parameters with a gradient
  const ModelSpec* teacher = nullptr;
  int64_t data_bytes = 0;  // of the training text, when steps are not given
};

struct TrainingCost {
  uint64_t peak_bytes = 0;
  double seconds = 0;
  std::vector<std::string> notes;
};

/// Window that training uses when the recipe names none.
inline int64_t training_window(const TrainingOptions& options, int64_t max_positions) {
  return options.window.value_or(std::min<int64_t>(512, max_positions));
}

/// The type that weights are written in: "same" is the input's type.
inline DType output_dtype(const std::string& wanted, DType input) {
  return wanted == "same" ? input : *dtype_from_torch_name(wanted);
}

/// The float type that a config.json declares (old or new key); float32 when it has none.
inline DType config_dtype(const nlohmann::ordered_json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key) && config[key].is_string())
      if (const auto dtype = dtype_from_torch_name(config[key].get<std::string>())) return *dtype;
  return DType::f32;
}

/// Sets the key of a config.json that says so, if there is one: as writing the weights in `dtype`
/// will.
inline void set_config_dtype(nlohmann::ordered_json& config, DType dtype) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key)) config[key] = torch_dtype_name(dtype);
}

inline TrainingCost estimate_training(const TrainingOptions& options, const TrainingLoad& load) {
  // Floating-point operations a second on two cores with AVX-512 BF16, and activation bytes a token
  // and block: orders measured on small models, good to a factor of two.
  constexpr double kRate = 4e11;
  constexpr int64_t kActivationsPerHidden = 40, kActivationsPerWidth = 12;
  constexpr double kBytesPerToken = 4.0;

  TrainingCost cost;
  const ModelSpec& spec = load.spec;
  const int64_t window = training_window(options, spec.max_positions);
  const int64_t tokens_a_step = options.batch * options.accumulate * window;
  double steps = 0;
  if (options.steps) {
    steps = static_cast<double>(*options.steps);
  } else {
    steps = options.epochs.value_or(1) * static_cast<double>(load.data_bytes) / kBytesPerToken /
            static_cast<double>(tokens_a_step);
    cost.notes.push_back("steps are estimated from the size of the data at 4 bytes a token");
  }
  int64_t attention = 0, activations = 0;  // operations, bytes a token
  for (const auto& block : spec.blocks) {
    attention += 4 * window * block.attention.heads * block.attention.head_dim;
    if (const auto& net = block.delta_net)
      attention += 6 * net->value_heads * net->key_dim * net->value_dim;
    int64_t width = block.mlp.width;
    if (block.moe)
      width = block.moe->top_k * block.moe->experts.front().width + block.moe->shared.width;
    activations += kActivationsPerHidden * spec.hidden + kActivationsPerWidth * width +
                   2 * window * block.attention.heads;
  }
  const int64_t parameters = spec.parameters();
  double per_token =
      static_cast<double>(4 * spec.active_parameters() + 2 * load.trainable + 3 * attention);
  if (load.teacher) per_token += 2.0 * static_cast<double>(load.teacher->active_parameters());
  cost.seconds = steps * static_cast<double>(tokens_a_step) * per_token / kRate;
  // Weights and their half-precision copy; gradient and two moments of what is trained;
  // activations.
  cost.peak_bytes =
      static_cast<uint64_t>(6 * parameters + 12 * load.trainable +
                            options.batch * window * activations + (int64_t{1} << 28));
  if (load.teacher) cost.peak_bytes += static_cast<uint64_t>(6 * load.teacher->parameters());
  return cost;
}

}  // namespace attar
