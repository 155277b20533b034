// Reference models and their recorded outputs in tests/golden.
#pragma once

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/formats/safetensors.h"
#include "tests/support/fixtures.h"

namespace attar {

inline constexpr std::array kGoldenModels = {
    "llama_gqa",   "llama_llama3rope", "llama_tied",    "mistral_swa",  "qwen2",
    "qwen3",       "qwen3_5_text",     "qwen3_next",    "smollm3_nope", "gemma2",
    "gemma3_text", "phi3_default",     "phi3_longrope", "gpt2",         "gpt_neox"};

/// The largest difference of a logit that rounding explains: ten times what the reference itself
/// differs from its float64 run.
inline double golden_tolerance(const std::string& name) {
  return name == "qwen3_5_text" || name == "qwen3_next" ? 5e-4 : 1e-4;
}

inline fs::path golden_path(const std::string& name) {
  return fixture(name);
}

/// With the configuration of a file beside config.json, when one is named.
inline Model golden_model(const std::string& name, const std::string& config = "config.json") {
  ModelDirectory model = ModelDirectory::open(golden_path(name));
  std::ifstream file(golden_path(name) / config);
  model.config = nlohmann::ordered_json::parse(file);
  return open_model(std::move(model));
}

inline std::vector<int32_t> ids_of(const TensorView& tensor) {
  const auto wide = tensor.integers();
  return {wide.begin(), wide.end()};
}

}  // namespace attar
