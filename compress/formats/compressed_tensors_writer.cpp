#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "compress/formats/compressed_tensors.h"
#include "compress/formats/packing.h"
#include "compress/formats/quant_format.h"

namespace attar::compressed_tensors {
namespace {

using nlohmann::ordered_json;

/// The library version whose files these are like: readers compare it with the keys they know.
constexpr const char* kVersion = "0.11.0";

int64_t groups_of(const QuantLayout& layout, int64_t cols) {
  return layout.group == 0 ? 1 : (cols + layout.group - 1) / layout.group;
}

int64_t words_for(int64_t count, int bits) {
  return (count * bits + 31) / 32;
}

ordered_json weights_arguments(const QuantLayout& layout) {
  ordered_json arguments;
  arguments["num_bits"] = layout.bits;
  arguments["type"] = "int";
  arguments["symmetric"] = layout.symmetric;
  arguments["strategy"] = layout.group == 0 ? "channel" : "group";
  arguments["group_size"] = layout.group == 0 ? ordered_json(nullptr) : ordered_json(layout.group);
  arguments["block_structure"] = nullptr;
  arguments["dynamic"] = false;
  arguments["actorder"] = nullptr;
  arguments["observer"] = "minmax";
  arguments["observer_kwargs"] = ordered_json::object();
  return arguments;
}

/// Where a layout's matrices stand in config_groups; scale_dtype is not part of the configuration.
bool same_group(const QuantLayout& a, const QuantLayout& b) {
  return a.bits == b.bits && a.group == b.group && a.symmetric == b.symmetric &&
         a.int8_inputs == b.int8_inputs;
}

/// Of int8 inputs nothing is stored: their scales are found token by token.
ordered_json input_arguments() {
  ordered_json arguments;
  arguments["num_bits"] = 8;
  arguments["type"] = "int";
  arguments["symmetric"] = true;
  arguments["strategy"] = "token";
  arguments["group_size"] = nullptr;
  arguments["block_structure"] = nullptr;
  arguments["dynamic"] = true;
  arguments["actorder"] = nullptr;
  arguments["observer"] = nullptr;
  arguments["observer_kwargs"] = ordered_json::object();
  return arguments;
}

const char* format_name(const QuantLayout& layout) {
  return layout.int8_inputs ? "int-quantized" : "pack-quantized";
}

/// Codes from 0 as signed bytes around 0.
std::vector<int8_t> signed_bytes(const std::vector<uint8_t>& codes, int bits) {
  std::vector<int8_t> bytes(codes.size());
  for (size_t i = 0; i < codes.size(); ++i)
    bytes[i] = static_cast<int8_t>(codes[i] - (1 << (bits - 1)));
  return bytes;
}

std::string objection(int64_t, int64_t, const QuantLayout& layout) {
  if (layout.levels == Levels::integers) return {};
  return fmt::format("{} levels; compressed-tensors holds integers", to_string(layout.levels));
}

}  // namespace

std::vector<SafetensorsWriter::Declaration> declare(const std::string& module, int64_t rows,
                                                    int64_t cols, const QuantLayout& layout) {
  const int64_t groups = groups_of(layout, cols);
  if (layout.int8_inputs) {
    std::vector<SafetensorsWriter::Declaration> plain = {
        {module + ".weight", DType::i8, {rows, cols}},
        {module + ".weight_scale", layout.scale_dtype, {rows, groups}}};
    if (!layout.symmetric)
      plain.push_back({module + ".weight_zero_point", DType::i8, {rows, groups}});
    return plain;
  }
  std::vector<SafetensorsWriter::Declaration> tensors = {
      {module + ".weight_packed", DType::i32, {rows, words_for(cols, layout.bits)}},
      {module + ".weight_scale", layout.scale_dtype, {rows, groups}},
      {module + ".weight_shape", DType::i64, {2}}};
  if (!layout.symmetric)
    tensors.push_back(
        {module + ".weight_zero_point", DType::i32, {words_for(rows, layout.bits), groups}});
  return tensors;
}

void write(SafetensorsWriter& writer, const std::string& module, const QuantizedMatrix& q) {
  const int bits = q.layout.bits;
  if (q.layout.int8_inputs) {
    const auto codes = signed_bytes(q.codes, bits), zero_points = signed_bytes(q.zeros, bits);
    writer.write(module + ".weight", std::as_bytes(std::span(codes)));
    writer.write_floats(module + ".weight_scale", q.scales);
    if (!q.layout.symmetric)
      writer.write(module + ".weight_zero_point", std::as_bytes(std::span(zero_points)));
    return;
  }
  const auto words = pack_columns(q.codes, q.rows, q.cols, bits);
  writer.write(module + ".weight_packed", std::as_bytes(std::span(words)));
  writer.write_floats(module + ".weight_scale", q.scales);
  const int64_t shape[2] = {q.rows, q.cols};
  writer.write(module + ".weight_shape", std::as_bytes(std::span(shape)));
  if (q.layout.symmetric) return;
  const auto zeros = pack_rows(q.zeros, q.rows, q.groups(), bits);
  writer.write(module + ".weight_zero_point", std::as_bytes(std::span(zeros)));
}

nlohmann::ordered_json config(const std::vector<std::pair<std::string, QuantLayout>>& modules,
                              const std::vector<std::string>& ignored) {
  std::vector<std::pair<QuantLayout, ordered_json>> groups;  // and the names of their modules
  for (const auto& [module, layout] : modules) {
    const auto same = [&layout = layout](const auto& g) { return same_group(g.first, layout); };
    auto place = std::find_if(groups.begin(), groups.end(), same);
    if (place == groups.end()) place = groups.insert(groups.end(), {layout, ordered_json::array()});
    place->second.push_back(module);
  }
  const bool mixed = std::any_of(groups.begin(), groups.end(), [&](const auto& g) {
    return g.first.int8_inputs != groups.front().first.int8_inputs;
  });
  ordered_json config_groups = ordered_json::object();
  for (size_t i = 0; i < groups.size(); ++i) {
    ordered_json group;
    group["targets"] = groups[i].second;
    if (groups.size() == 1) {  // all layers, and by name what is none
      auto& targets = group["targets"] = ordered_json::array({"Linear"});
      for (const auto& [module, layout] : modules)
        if (is_embedding(module)) targets.push_back(module);
    }
    group["weights"] = weights_arguments(groups[i].first);
    group["input_activations"] =
        groups[i].first.int8_inputs ? input_arguments() : ordered_json(nullptr);
    group["output_activations"] = nullptr;
    if (mixed) group["format"] = format_name(groups[i].first);
    config_groups["group_" + std::to_string(i)] = std::move(group);
  }
  ordered_json quantization;
  quantization["quant_method"] = "compressed-tensors";
  quantization["version"] = kVersion;
  quantization["format"] = mixed ? "mixed-precision" : format_name(groups.front().first);
  quantization["quantization_status"] = "compressed";
  quantization["global_compression_ratio"] = nullptr;
  quantization["kv_cache_scheme"] = nullptr;
  quantization["config_groups"] = std::move(config_groups);
  quantization["ignore"] = ignored;
  quantization["sparsity_config"] = ordered_json::object();
  quantization["transform_config"] = ordered_json::object();
  return quantization;
}

}  // namespace attar::compressed_tensors

namespace attar {

QuantFormat compressed_tensors_format() {
  namespace ct = compressed_tensors;
  return {
      "compressed-tensors",
      "int weights of 2 to 8 bits (pack-quantized), with int8 inputs (int-quantized): in and out",
      {},
      ct::objection,
      ct::declare,
      ct::write,
      ct::config,
      ct::open};
}

}  // namespace attar
