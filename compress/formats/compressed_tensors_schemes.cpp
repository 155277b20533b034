#include "compress/formats/compressed_tensors_schemes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "compress/base/error.h"
#include "compress/formats/json.h"

namespace attar::compressed_tensors {
namespace {

using nlohmann::ordered_json;

bool empty(const ordered_json& value) {
  return value.is_null() || value.empty();
}

const ordered_json& get(const ordered_json& object, const char* key) {
  static const ordered_json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

Storage read_format(const ordered_json& format, const std::string& where) {
  if (format == "pack-quantized") return Storage::packed;
  if (format == "int-quantized" || format == "naive-quantized") return Storage::plain;
  throw bad_input(fmt::format("unsupported format {}", format.dump()), where + ".format",
                  "supported: pack-quantized, int-quantized");
}

/// Unknown keys may change what the numbers mean, so they must be empty to be passed over.
void refuse_unknown(const ordered_json& object, std::span<const std::string_view> known,
                    const std::string& where) {
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end() && !empty(value))
      throw bad_input(fmt::format("unknown setting {} = {}", key, value.dump()), where,
                      "this model was written by a newer compressed-tensors than is supported");
}

int64_t read_integer(const ordered_json& object, const char* key, int64_t low, int64_t high,
                     const std::string& where) {
  const auto value = json_integer(get(object, key));
  if (!value || *value < low || *value > high)
    throw bad_input(
        fmt::format("{} is {}, supported are {} to {}", key, get(object, key).dump(), low, high),
        where + "." + key);
  return *value;
}

void read_strategy(const ordered_json& weights, Scheme& scheme, const std::string& where) {
  ordered_json strategy = get(weights, "strategy");
  const bool sized = json_integer(get(weights, "group_size")).value_or(-1) > 0;
  if (strategy.is_null()) strategy = sized ? "group" : "tensor";  // as the library infers it
  if (strategy == "group") {
    scheme.strategy = Strategy::group;
    scheme.layout.group = read_integer(weights, "group_size", 1, int64_t{1} << 40, where);
  } else if (strategy == "channel") {
    scheme.strategy = Strategy::channel;
  } else if (strategy == "tensor") {
    scheme.strategy = Strategy::tensor;
  } else {
    throw bad_input(fmt::format("unsupported strategy {}", strategy.dump()), where + ".strategy",
                    "supported: group, channel, tensor");
  }
}

void read_weights(const ordered_json& weights, Scheme& scheme, const std::string& where) {
  constexpr std::array<std::string_view, 13> kKnown = {
      "num_bits",        "type",     "symmetric", "strategy", "group_size",
      "block_structure", "dynamic",  "actorder",  "observer", "observer_kwargs",
      "scale_dtype",     "zp_dtype", "format"};
  refuse_unknown(weights, kKnown, where);
  const ordered_json &type = get(weights, "type"), &order = get(weights, "actorder");
  if (!type.is_null() && type != "int")
    throw bad_input(fmt::format("unsupported weight type {}", type.dump()), where + ".type",
                    "supported: int");
  scheme.layout.bits = static_cast<int>(read_integer(weights, "num_bits", 2, 8, where));
  const ordered_json& symmetric = get(weights, "symmetric");
  if (!symmetric.is_null() && !symmetric.is_boolean())
    throw bad_input("symmetric is neither true nor false", where + ".symmetric");
  scheme.layout.symmetric = symmetric.is_null() || symmetric.get<bool>();
  if (order == "group" || order == true)
    throw bad_input(
        "columns are quantized in their order of activation (g_idx), which this "
        "program does not read",
        where + ".actorder", "quantize with actorder \"static\" or none");
  if (!empty(get(weights, "block_structure")))
    throw bad_input("block_structure is not supported", where + ".block_structure");
  const ordered_json& dynamic = get(weights, "dynamic");
  if (!dynamic.is_null() && dynamic != false)
    throw bad_input("weights with dynamic scales are not supported", where + ".dynamic");
  read_strategy(weights, scheme, where);
}

/// Whether inputs are int8 with a scale found for each token; every other kind is refused.
bool read_inputs(const ordered_json& inputs, const std::string& place) {
  if (empty(inputs)) return false;
  const std::string where = place + ".input_activations";
  const auto is = [&](const char* key, const ordered_json& wanted) {
    return get(inputs, key) == wanted;
  };
  if (!inputs.is_object() || !is("num_bits", 8) ||
      !(empty(get(inputs, "type")) || is("type", "int")) || !is("strategy", "token") ||
      !is("dynamic", true) || !(empty(get(inputs, "symmetric")) || is("symmetric", true)))
    throw bad_input("these quantized activations are not supported", where,
                    "supported: int8, symmetric, strategy token, dynamic; or weights alone");
  return true;
}

}  // namespace

std::vector<Schemes::Selector> Schemes::read_selectors(const ordered_json& list,
                                                       const std::string& where) {
  std::vector<Selector> selectors;
  if (list.is_null()) return selectors;
  if (!list.is_array()) throw bad_input("not a list of names", where);
  constexpr std::string_view kExpression = "re:";
  for (const auto& entry : list) {
    if (!entry.is_string()) throw bad_input(fmt::format("{} is no name", entry.dump()), where);
    const auto text = entry.get<std::string>();
    Selector selector{text, {}};
    if (text.starts_with(kExpression))
      selector.pattern.emplace(std::string_view(text).substr(kExpression.size()), where);
    selectors.push_back(std::move(selector));
  }
  return selectors;
}

Schemes::Selector::Match Schemes::Selector::match(std::string_view module) const {
  if (pattern) return pattern->matches_start(module) ? by_pattern : none;
  if (name == module) return by_name;
  return name == "Linear" ? by_class : none;
}

Schemes::Schemes(const ordered_json& quantization, std::string where) {
  const ordered_json& status = get(quantization, "quantization_status");
  if (!status.is_null() && status != "compressed")
    throw bad_input(fmt::format("quantization_status is {}", status.dump()), where,
                    "only models saved in compressed form can be read");
  for (const char* key : {"kv_cache_scheme", "transform_config"})
    if (!empty(get(quantization, key)))
      throw bad_input(fmt::format("{} is not supported", key), where + "." + key);
  const ordered_json& sparsity = get(quantization, "sparsity_config");
  if (!empty(sparsity) && !(sparsity.is_object() && get(sparsity, "format") == "dense"))
    throw bad_input("sparse weights are not supported", where + ".sparsity_config");
  const ordered_json& groups = get(quantization, "config_groups");
  if (!groups.is_object() || groups.empty())
    throw bad_input("config_groups names no scheme", where + ".config_groups");

  for (const auto& [name, group] : groups.items()) {
    const std::string place = where + ".config_groups." + name;
    if (!group.is_object()) throw bad_input("not an object", place);
    constexpr std::array<std::string_view, 5> kKnown = {"targets", "weights", "input_activations",
                                                        "output_activations", "format"};
    refuse_unknown(group, kKnown, place);
    if (!empty(get(group, "output_activations")))
      throw bad_input("quantized outputs are not supported", place + ".output_activations");
    Scheme scheme;
    scheme.group = name;
    scheme.layout.int8_inputs = read_inputs(get(group, "input_activations"), place);
    const ordered_json& own_format = get(group, "format");
    scheme.storage = own_format.is_null() ? read_format(get(quantization, "format"), where)
                                          : read_format(own_format, place);
    if (!get(group, "weights").is_object())
      throw bad_input("the group does not say how weights are stored", place + ".weights");
    read_weights(group["weights"], scheme, place + ".weights");
    schemes_.emplace_back(std::move(scheme), read_selectors(get(group, "targets"), place));
  }
  ignored_ = read_selectors(get(quantization, "ignore"), where + ".ignore");
}

const Scheme* Schemes::find(std::string_view module) const {
  const Scheme* best = nullptr;
  Selector::Match strength = Selector::none;
  for (const auto& [scheme, selectors] : schemes_)
    for (const Selector& selector : selectors)
      if (const auto match = selector.match(module); match > strength) {
        best = &scheme;
        strength = match;
      }
  return best;
}

bool Schemes::ignored(std::string_view module) const {
  return std::any_of(ignored_.begin(), ignored_.end(), [&](const Selector& selector) {
    return selector.match(module) != Selector::none;
  });
}

}  // namespace attar::compressed_tensors
