// The GPTQ layout (ModelCloud/GPTQModel, qlinear/__init__.py and quantization/config.py): codes
// packed down the input columns, zero points along the outputs. Version 1 stores zero points less
// one and so cannot say 0; it is written for symmetric matrices, version 2 otherwise. Files are
// read by what their zero points are, since labels have been wrong.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/formats/assembled_source.h"
#include "compress/formats/json.h"
#include "compress/formats/packing.h"
#include "compress/formats/pattern.h"
#include "compress/formats/quant_format.h"
#include "compress/formats/transposed_codes.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kCodes = ".qweight";
constexpr int kWordBits = 32;

std::string objection(int64_t rows, int64_t cols, const QuantLayout& layout) {
  if (layout.int8_inputs) return "the layout cannot say that inputs are rounded";
  if (layout.levels != Levels::integers)
    return fmt::format("{} levels; GPTQ holds integers", to_string(layout.levels));
  constexpr std::array kBits = {2, 3, 4, 8};
  if (std::find(kBits.begin(), kBits.end(), layout.bits) == kBits.end())
    return fmt::format("{} bits; GPTQ holds 2, 3, 4 or 8", layout.bits);
  if (cols * layout.bits % kWordBits != 0)
    return fmt::format("{} columns of {} bits fill no whole words", cols, layout.bits);
  if (rows * layout.bits % kWordBits != 0)
    return fmt::format("{} rows of {} bits fill no whole words", rows, layout.bits);
  if (layout.group != 0 && cols % layout.group != 0)
    return fmt::format("{} columns are no multiple of the group size {}", cols, layout.group);
  return {};
}

int64_t groups_of(const QuantLayout& layout, int64_t cols) {
  return layout.group == 0 ? 1 : (cols + layout.group - 1) / layout.group;
}

std::vector<SafetensorsWriter::Declaration> declare(const std::string& module, int64_t rows,
                                                    int64_t cols, const QuantLayout& layout) {
  const int64_t groups = groups_of(layout, cols);
  return {{module + ".qweight", DType::i32, {cols * layout.bits / kWordBits, rows}},
          {module + ".qzeros", DType::i32, {groups, rows * layout.bits / kWordBits}},
          {module + ".scales", DType::f16, {groups, rows}},
          {module + ".g_idx", DType::i32, {cols}}};
}

void write(SafetensorsWriter& writer, const std::string& module, const QuantizedMatrix& q) {
  const int bits = q.layout.bits;
  const auto codes = pack_rows(transposed(q.codes, q.rows, q.cols), q.cols, q.rows, bits);
  writer.write(module + ".qweight", std::as_bytes(std::span(codes)));
  auto zeros = transposed(all_zeros(q), q.rows, q.groups());
  if (q.layout.symmetric)
    for (uint8_t& zero : zeros) --zero;  // version 1
  const auto words = pack_columns(zeros, q.groups(), q.rows, bits);
  writer.write(module + ".qzeros", std::as_bytes(std::span(words)));
  write_half_scales(writer, module, q);
  std::vector<int32_t> order(static_cast<size_t>(q.cols));
  for (int64_t i = 0; i < q.cols; ++i)
    order[static_cast<size_t>(i)] = static_cast<int32_t>(i / q.group());
  writer.write(module + ".g_idx", std::as_bytes(std::span(order)));
}

ordered_json config(const std::vector<std::pair<std::string, QuantLayout>>& modules,
                    const std::vector<std::string>& ignored) {
  const QuantLayout& first = modules.front().second;
  for (const auto& [module, layout] : modules)
    if (layout.bits != first.bits || layout.group != first.group ||
        layout.symmetric != first.symmetric)
      throw bad_input(fmt::format("layer {} is {}, {} is {}; a GPTQ model has one scheme",
                                  modules.front().first, first.name(), module, layout.name()),
                      "quantization_config", "use format: compressed-tensors");
  const char* version = first.symmetric ? "gptq" : "gptq_v2";
  ordered_json config;
  config["bits"] = first.bits;
  config["group_size"] = named_group(first);
  config["desc_act"] = false;
  config["sym"] = first.symmetric;
  config["lm_head"] = std::any_of(modules.begin(), modules.end(),
                                  [](const auto& m) { return m.first == "lm_head"; });
  config["quant_method"] = "gptq";
  config["method"] = "gptq";
  config["checkpoint_format"] = version;
  config["format"] = version;
  config["pack_dtype"] = "int32";
  ordered_json dynamic = ordered_json::object();
  for (const std::string& module : ignored) {
    if (module == "lm_head") continue;  // dense unless "lm_head" says otherwise
    std::string expression = "-:^";
    for (const char c : module) expression += c == '.' ? std::string("\\.") : std::string(1, c);
    dynamic[expression + "$"] = ordered_json::object();
  }
  if (!dynamic.empty()) config["dynamic"] = std::move(dynamic);
  config["meta"]["quantizer"] = {std::string("attar:") + ATTAR_VERSION};
  return config;
}

/// What a configuration says of all layers.
struct Settings {
  int bits = 4;
  int64_t group = 128;  // −1: the whole row
  bool version_2 = false;
};

Settings read_settings(const ordered_json& json, const std::string& where) {
  Settings settings;
  const auto integer = [&](const char* key, int64_t low, int64_t high) {
    const auto found = json.find(key);
    const auto value = found == json.end() ? std::nullopt : json_integer(*found);
    if (!value || *value < low || *value > high)
      throw bad_input(fmt::format("{} is {}, expected {} to {}", key,
                                  found == json.end() ? "missing" : found->dump(), low, high),
                      where + "." + key);
    return *value;
  };
  settings.bits = static_cast<int>(integer("bits", 2, 8));
  if (settings.bits > 4 && settings.bits != 8)
    throw bad_input(fmt::format("{} bits are not supported", settings.bits), where + ".bits",
                    "supported: 2, 3, 4, 8");
  settings.group = integer("group_size", -1, int64_t{1} << 31);
  if (settings.group == 0) throw bad_input("group_size is 0", where + ".group_size");
  for (const char* key : {"checkpoint_format", "format"})
    if (json.contains(key) && json[key].is_string()) {
      const auto format = json[key].get<std::string>();
      if (format != "gptq" && format != "gptq_v2")
        throw bad_input(fmt::format("unsupported checkpoint format \"{}\"", format),
                        where + "." + key, "supported: gptq, gptq_v2");
      settings.version_2 = format == "gptq_v2";
    }
  if (json.contains("dynamic") && json["dynamic"].is_object())
    for (const auto& [pattern, values] : json["dynamic"].items())
      if (!pattern.starts_with("-:") && !values.empty())
        throw bad_input("layers with settings of their own are not supported",
                        fmt::format("{}.dynamic.{}", where, pattern));
  return settings;
}

/// The tensors of one layer.
struct Layer {
  std::shared_ptr<const Checkpoint> checkpoint;
  Settings settings;
  int64_t rows = 0, cols = 0, groups = 0;
  const TensorView *codes = nullptr, *zeros = nullptr, *scales = nullptr, *order = nullptr;
  bool ordered = false;  // columns stand in groups one after the other

  int64_t group() const { return settings.group < 0 ? cols : settings.group; }

  /// [rows, groups], whichever version stored them.
  std::vector<uint8_t> zero_points() const {
    auto stored = unpack_columns(words_of(*zeros), groups, rows, settings.bits);
    const auto half = static_cast<uint8_t>(1 << (settings.bits - 1));
    const auto all = [&](uint8_t value) {
      return std::all_of(stored.begin(), stored.end(), [&](uint8_t z) { return z == value; });
    };
    const bool less_one =
        all(static_cast<uint8_t>(half - 1)) || (!settings.version_2 && !all(half));
    if (less_one)
      for (uint8_t& zero : stored) ++zero;
    return transposed(stored, groups, rows);
  }

  Weight load() const {
    QuantizedMatrix q;
    q.layout = {settings.bits, settings.group < 0 ? 0 : settings.group, false, scales->dtype};
    q.rows = rows;
    q.cols = cols;
    q.codes = transposed(unpack_rows(words_of(*codes), cols, rows, settings.bits), cols, rows);
    q.scales = transposed(read_scales(*checkpoint, *scales), groups, rows);
    q.zeros = zero_points();
    if (!ordered) return dense(q);
    const int half = 1 << (settings.bits - 1);
    if (std::all_of(q.zeros.begin(), q.zeros.end(), [&](uint8_t z) { return z == half; })) {
      q.layout.symmetric = true;
      q.zeros.clear();
    }
    return q;
  }

  /// Columns quantized in order of activation belong to any group: the values themselves then.
  DenseTensor dense(const QuantizedMatrix& q) const {
    const auto index = order->integers();
    std::vector<float> values(q.codes.size());
    parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t col = 0; col < cols; ++col) {
          const auto at = static_cast<size_t>(row * cols + col);
          const auto g = static_cast<size_t>(row * groups + index[static_cast<size_t>(col)]);
          values[at] = static_cast<float>(q.codes[at] - q.zeros[g]) * q.scales[g];
        }
    });
    return dense_tensor(std::move(values), {rows, cols});
  }
};

/// True when column i is of group i / group; bad_input for a group that is not there.
bool read_order(const Layer& layer) {
  if (layer.order == nullptr) return true;
  expect_tensor(*layer.checkpoint, *layer.order, DType::i32, {layer.cols});
  const auto index = layer.order->integers();
  bool ordered = true;
  for (size_t i = 0; i < index.size(); ++i) {
    if (index[i] < 0 || index[i] >= layer.groups)
      throw bad_input(
          fmt::format("column {} is of group {}, there are {}", i, index[i], layer.groups),
          layer.checkpoint->place(*layer.order));
    ordered &= index[i] == static_cast<int64_t>(i) / layer.group();
  }
  return ordered;
}

Layer read_layer(const std::shared_ptr<const Checkpoint>& checkpoint, const TensorView& codes,
                 const std::string& module, const Settings& settings) {
  Layer layer{checkpoint, settings};
  layer.codes = &codes;
  if (codes.shape.size() != 2 || codes.dtype != DType::i32)
    throw bad_input("codes must be I32 with two dimensions", checkpoint->place(codes));
  layer.rows = codes.shape[1];
  layer.cols = codes.shape[0] * kWordBits / settings.bits;
  if (layer.rows < 1 || layer.cols < 1)
    throw bad_input("the layer is empty", checkpoint->place(codes));
  layer.groups = (layer.cols + layer.group() - 1) / layer.group();
  layer.zeros = &checkpoint->at(module + ".qzeros");
  layer.scales = &checkpoint->at(module + ".scales");
  layer.order = checkpoint->find(module + ".g_idx");
  if (layer.rows * settings.bits % kWordBits != 0)
    throw bad_input(
        fmt::format("{} outputs of {} bits fill no whole words", layer.rows, settings.bits),
        checkpoint->place(*layer.zeros));
  expect_tensor(*checkpoint, *layer.zeros, DType::i32,
                {layer.groups, layer.rows * settings.bits / kWordBits});
  expect_tensor(*checkpoint, *layer.scales, layer.scales->dtype, {layer.groups, layer.rows});
  layer.ordered = read_order(layer);
  return layer;
}

std::shared_ptr<const WeightSource> open(const ordered_json& quantization, Checkpoint opened,
                                         const std::string& where) {
  const Settings settings = read_settings(quantization, where);
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(opened));
  const bool symmetric = quantization.value("sym", true);
  std::vector<AssembledWeight> weights;
  for (const TensorView* tensor : checkpoint->tensors()) {
    if (!tensor->name.ends_with(kCodes)) continue;
    const std::string module = tensor->name.substr(0, tensor->name.size() - kCodes.size());
    const Layer layer = read_layer(checkpoint, *tensor, module, settings);
    if (checkpoint->find(module + ".weight") != nullptr)
      throw bad_input("the layer is stored both dense and quantized", checkpoint->place(*tensor));
    const QuantLayout layout{settings.bits, settings.group < 0 ? 0 : settings.group, symmetric,
                             layer.scales->dtype};
    weights.push_back({module + ".weight",
                       {layer.rows, layer.cols},
                       layout.name() + (layer.ordered ? "" : " act-order"),
                       tensor,
                       {layer.zeros, layer.scales, layer.order},
                       [layer] { return layer.load(); }});
  }
  if (weights.empty())
    throw bad_input("quantization_config says GPTQ, but no tensor ends in .qweight", where);
  return assemble(checkpoint, std::move(weights));
}

}  // namespace

QuantFormat gptq_format() {
  return {"gptq",
          "int2, int3, int4, int8 weights as GPTQModel stores them (v1; v2 with zero points): in "
          "and out",
          DType::f16,
          objection,
          declare,
          write,
          config,
          open,
          "quantize_config.json"};
}

}  // namespace attar
