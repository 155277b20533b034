#include "compress/formats/gguf/config_keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "compress/base/error.h"

namespace attar::gguf {
namespace {

using nlohmann::ordered_json;

/// 1 / factor of each pair, as transformers derives it from the four parameters.
std::vector<double> llama3_factors(double factor, double low, double high, double original,
                                   double theta, size_t pairs) {
  std::vector<double> result(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    const double frequency = std::pow(theta, -static_cast<double>(i) / static_cast<double>(pairs));
    const double turns = original * frequency / (2 * std::numbers::pi);
    const double share = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    result[i] = 1 / ((1 - share) / factor + share);
  }
  return result;
}

}  // namespace

ArchitectureKeys::ArchitectureKeys(const File& file)
    : metadata_(file.metadata()),
      prefix_(file.metadata().required_text("general.architecture") + ".") {}

int64_t ArchitectureKeys::size(std::string_view suffix) const {
  const std::string name = key(suffix);
  const Value* value = metadata_.find(name);
  int64_t result = 0;
  if (value != nullptr && value->index() >= std::variant_size_v<Value> / 2) {
    const auto list = metadata_.integers(name);
    if (list->empty()) throw metadata_.error(name, "is an empty array");
    result = list->front();
    for (const int64_t other : *list)
      if (other != result)
        throw metadata_.error(name,
                              fmt::format("differs between layers ({} and {})", result, other),
                              "models whose layers have different widths are not read");
  } else {
    result = metadata_.required_integer(name);
  }
  if (result < 1 || result > (int64_t{1} << 31))
    throw metadata_.error(name, fmt::format("{} is no size", result));
  return result;
}

void read_decoder_keys(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  const Metadata& metadata = file.metadata();
  config["hidden_size"] = keys.size("embedding_length");
  if (keys.has("feed_forward_length") || !keys.has("expert_feed_forward_length"))
    config["intermediate_size"] = keys.size("feed_forward_length");
  config["num_hidden_layers"] = keys.size("block_count");
  const int64_t heads = keys.size("attention.head_count");
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = keys.size_or("attention.head_count_kv", heads);
  if (keys.has("attention.key_length")) {
    const int64_t length = keys.size("attention.key_length");
    if (keys.size_or("attention.value_length", length) != length)
      throw metadata.error(keys.key("attention.value_length"),
                           "keys and values of different sizes are not read");
    config["head_dim"] = length;
  }
  config["max_position_embeddings"] = keys.size("context_length");
  if (keys.has("attention.layer_norm_rms_epsilon"))
    config["rms_norm_eps"] = keys.number("attention.layer_norm_rms_epsilon");
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
}

void read_rope_keys(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  const Metadata& metadata = file.metadata();
  const double theta = keys.number_or("rope.freq_base", 10000.0);
  config["rope_theta"] = theta;
  config["rope_scaling"] = nullptr;
  if (const Tensor* factors = file.find("rope_freqs.weight")) {
    config["rope_scaling"] = llama3_scaling(factors->floats(), theta, file.place(*factors));
    return;
  }
  const std::string* type = metadata.text(keys.key("rope.scaling.type"));
  double factor = keys.number_or("rope.scaling.factor", keys.number_or("rope.scale_linear", 1.0));
  if ((type == nullptr && factor == 1.0) || (type != nullptr && *type == "none")) return;
  if (type == nullptr || *type == "linear") {
    if (factor != 1.0) config["rope_scaling"] = {{"type", "linear"}, {"factor", factor}};
  } else if (*type == "yarn") {
    ordered_json scaling = {{"type", "yarn"}, {"factor", factor}};
    if (keys.has("rope.scaling.original_context_length"))
      scaling["original_max_position_embeddings"] =
          keys.size("rope.scaling.original_context_length");
    if (keys.has("rope.scaling.yarn_beta_fast"))
      scaling["beta_fast"] = keys.number("rope.scaling.yarn_beta_fast");
    if (keys.has("rope.scaling.yarn_beta_slow"))
      scaling["beta_slow"] = keys.number("rope.scaling.yarn_beta_slow");
    config["rope_scaling"] = std::move(scaling);
  } else if (*type != "longrope") {  // whose factors are tensors, read by the architecture
    throw metadata.error(keys.key("rope.scaling.type"),
                         fmt::format("unsupported rotary scaling \"{}\"", *type),
                         "supported: none, linear, yarn, longrope");
  }
}

nlohmann::ordered_json llama3_scaling(std::span<const float> factors, double theta,
                                      const std::string& where) {
  const size_t pairs = factors.size();
  const double factor = static_cast<double>(*std::max_element(factors.begin(), factors.end()));
  const auto fits = [&](double low, double high, double original) {
    const auto made = llama3_factors(factor, low, high, original, theta, pairs);
    for (size_t i = 0; i < pairs; ++i)
      if (!(std::abs(made[i] / static_cast<double>(factors[i]) - 1) < 1e-4)) return false;
    return true;
  };
  const auto scaling = [&](double low, double high, int64_t original) {
    return ordered_json{{"rope_type", "llama3"},
                        {"factor", factor},
                        {"low_freq_factor", low},
                        {"high_freq_factor", high},
                        {"original_max_position_embeddings", original}};
  };
  // The published values first; then whatever powers of two give the same factors.
  for (const double high : {4.0, 2.0, 8.0, 16.0, 32.0})
    for (int64_t original = 8192; original >= 16; original /= 2)
      for (const int64_t length : {original, 8192 * 8192 / original})
        if (factor >= 1 && fits(1.0, high, static_cast<double>(length)))
          return scaling(1.0, high, length);
  throw bad_input("these rotary factors are not those of Llama 3's scaling", where,
                  "other kinds of frequency factors are not read");
}

}  // namespace attar::gguf
