// The layouts of bitsandbytes (bitsandbytes-foundation/bitsandbytes, functional.py: QuantState;
// nn/modules.py: Linear8bitLt). Of 4 bits: codes of NF4 or FP4 levels, two a byte, the earlier one
// in the high half, the matrix flattened by rows into blocks with a scale each (their largest
// magnitude), which may itself be held in 8 bits ("double quantization"). Of 8 bits: LLM.int8's
// rows of int8, read as weights whose inputs stay as they are. 4 bits are written too, with float32
// scales.
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/formats/assembled_source.h"
#include "compress/formats/json.h"
#include "compress/formats/quant_format.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kState = ".quant_state.bitsandbytes__", kRowScales = ".SCB";
constexpr int64_t kLevels = 16, kNestedLevels = 256;

int64_t block_of(const QuantLayout& layout, int64_t cols) {
  return layout.group == 0 ? cols : layout.group;
}

std::string objection(int64_t, int64_t cols, const QuantLayout& layout) {
  if (layout.levels != Levels::nf4 && layout.levels != Levels::fp4)
    return fmt::format("{}; bitsandbytes' layout is written with nf4 or fp4 levels", layout.name());
  const int64_t block = block_of(layout, cols);
  if (block < 32 || block > 4096 || !std::has_single_bit(static_cast<uint64_t>(block)))
    return fmt::format("groups of {}; bitsandbytes has blocks of 32, 64, 128 … 4096", block);
  if (cols % block != 0)
    return fmt::format("{} columns are no multiple of the group size {}", cols, block);
  return {};
}

/// What no tensor says. The type is what the library widens blocks to before it multiplies.
std::string state_of(int64_t rows, int64_t cols, const QuantLayout& layout) {
  ordered_json state;
  state["quant_type"] = to_string(layout.levels);
  state["blocksize"] = block_of(layout, cols);
  state["dtype"] = "bfloat16";
  state["shape"] = {rows, cols};
  return state.dump();
}

std::string state_name(const std::string& weight, Levels levels) {
  return fmt::format("{}{}{}", weight, kState, to_string(levels));
}

std::vector<SafetensorsWriter::Declaration> declare(const std::string& module, int64_t rows,
                                                    int64_t cols, const QuantLayout& layout) {
  const std::string weight = module + ".weight";
  return {
      {weight, DType::u8, {(rows * cols + 1) / 2, 1}},
      {weight + ".absmax", DType::f32, {rows * cols / block_of(layout, cols)}},
      {weight + ".quant_map", DType::f32, {kLevels}},
      {state_name(weight, layout.levels), DType::u8, {std::ssize(state_of(rows, cols, layout))}}};
}

void write(SafetensorsWriter& writer, const std::string& module, const QuantizedMatrix& q) {
  const std::string weight = module + ".weight";
  std::vector<uint8_t> packed(q.codes.size() / 2);  // whole blocks: an even number of codes
  for (size_t i = 0; i < packed.size(); ++i)
    packed[i] = static_cast<uint8_t>(q.codes[2 * i] << 4 | q.codes[2 * i + 1]);
  writer.write(weight, std::as_bytes(std::span(packed)));
  writer.write_floats(weight + ".absmax", q.scales);
  writer.write_floats(weight + ".quant_map", level_values(q.layout.levels));
  const std::string state = state_of(q.rows, q.cols, q.layout);
  writer.write(state_name(weight, q.layout.levels), std::as_bytes(std::span(state)));
}

ordered_json config(const std::vector<std::pair<std::string, QuantLayout>>& modules,
                    const std::vector<std::string>& ignored) {
  const QuantLayout& first = modules.front().second;
  for (const auto& [module, layout] : modules)
    if (layout.levels != first.levels)
      throw bad_input(fmt::format("layer {} is {}, {} is {}; a bitsandbytes model has one type",
                                  modules.front().first, first.name(), module, layout.name()),
                      "quantization_config");
  ordered_json config;
  config["quant_method"] = "bitsandbytes";
  config["load_in_4bit"] = true;
  config["load_in_8bit"] = false;
  config["bnb_4bit_quant_type"] = to_string(first.levels);
  config["bnb_4bit_use_double_quant"] = false;
  config["bnb_4bit_compute_dtype"] = "bfloat16";
  config["bnb_4bit_quant_storage"] = "uint8";
  config["llm_int8_enable_fp32_cpu_offload"] = false;
  config["llm_int8_has_fp16_weight"] = false;
  config["llm_int8_skip_modules"] = ignored;
  config["llm_int8_threshold"] = 6.0;
  return config;
}

/// What the quant_state of a matrix says.
struct State {
  Levels levels = Levels::nf4;
  int64_t block = 64, rows = 0, cols = 0;
  int64_t nested_block = 0;  // of scales; 0: they are floats
  float nested_offset = 0;

  int64_t blocks() const { return (rows * cols + block - 1) / block; }
};

/// A key of the state within [low, 2^31].
int64_t read_size(const ordered_json& value, std::string_view what, int64_t low,
                  const std::string& where) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const auto size = json_integer(value);
  if (!size || *size < low || *size > kMost)
    throw bad_input(
        fmt::format("{} is {}, expected an integer of {} or more", what, value.dump(), low), where);
  return *size;
}

int64_t read_block(const ordered_json& json, const char* key, const std::string& where) {
  const int64_t block = read_size(json.value(key, ordered_json()), key, 8, where);
  if (!std::has_single_bit(static_cast<uint64_t>(block)))
    throw bad_input(fmt::format("{} is {}, no power of two", key, block), where,
                    "bitsandbytes has 32, 64, 128 … 4096");
  return block;
}

State read_state(const Checkpoint& checkpoint, const TensorView& tensor, bool nested) {
  const std::string where = checkpoint.place(tensor);
  if (tensor.dtype != DType::u8)
    throw bad_input("a quant_state must be U8, the text of JSON", where);
  const auto json = parse_json<ordered_json>(
      {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()}, where);
  if (!json.is_object()) throw bad_input("the quant_state is no JSON object", where);
  State state;
  const auto type = json.value("quant_type", ordered_json());
  if (type != "nf4" && type != "fp4")
    throw bad_input(fmt::format("unsupported quant_type {}", type.dump()), where,
                    "supported: nf4, fp4");
  if (!tensor.name.ends_with(type.get<std::string>()))
    throw bad_input(fmt::format("quant_type is {}, the tensor's name says otherwise", type.dump()),
                    where);
  state.levels = type == "nf4" ? Levels::nf4 : Levels::fp4;
  state.block = read_block(json, "blocksize", where);
  const auto shape = json.value("shape", ordered_json());
  if (!shape.is_array() || shape.size() != 2)
    throw bad_input(fmt::format("the shape {} is not that of a matrix", shape.dump()), where,
                    "supported: linear layers, [out, in]");
  state.rows = read_size(shape[0], "a dimension", 1, where);
  state.cols = read_size(shape[1], "a dimension", 1, where);
  if (!nested) return state;
  state.nested_block = read_block(json, "nested_blocksize", where);
  const auto offset = json.value("nested_offset", ordered_json());
  if (!offset.is_number() || !std::isfinite(offset.get<float>()))
    throw bad_input(fmt::format("nested_offset is {}, expected a number", offset.dump()), where);
  state.nested_offset = offset.get<float>();
  return state;
}

/// The tensors of a matrix of 4 bits.
struct Matrix {
  std::shared_ptr<const Checkpoint> checkpoint;
  State state;
  const TensorView *codes = nullptr, *scales = nullptr, *map = nullptr, *text = nullptr;
  const TensorView *nested_scales = nullptr, *nested_map = nullptr;

  /// False: some block goes on in the next row, which no groups of columns can say.
  bool in_groups() const { return state.cols % state.block == 0; }
  QuantLayout layout() const { return {4, state.block, true, DType::f32, false, state.levels}; }

  std::vector<float> block_scales() const {
    if (nested_scales == nullptr) return read_scales(*checkpoint, *scales);
    const auto blocks = read_scales(*checkpoint, *nested_scales),
               levels = read_scales(*checkpoint, *nested_map);
    std::vector<float> result(scales->bytes.size());
    for (size_t i = 0; i < result.size(); ++i) {
      const auto code = std::to_integer<size_t>(scales->bytes[i]);
      result[i] =
          levels[code] * blocks[i / static_cast<size_t>(state.nested_block)] + state.nested_offset;
      if (!std::isfinite(result[i]))
        throw bad_input(fmt::format("scale {} is not finite", i), checkpoint->place(*scales));
    }
    return result;
  }

  std::vector<uint8_t> unpacked() const {
    std::vector<uint8_t> result(static_cast<size_t>(state.rows * state.cols));
    parallel_for(std::ssize(codes->bytes), 1 << 16, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const auto both = std::to_integer<uint8_t>(codes->bytes[i]);
        result[2 * i] = both >> 4;
        if (2 * i + 1 < result.size()) result[2 * i + 1] = both & 15;
      }
    });
    return result;
  }

  Weight load() const {
    auto all = unpacked();
    auto each = block_scales();
    if (in_groups())
      return QuantizedMatrix{layout(), state.rows, state.cols, std::move(all), std::move(each), {}};
    const auto levels = level_values(state.levels);
    std::vector<float> values(all.size());
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = levels[all[i]] * each[i / static_cast<size_t>(state.block)];
    return dense_tensor(std::move(values), {state.rows, state.cols});
  }
};

void check_levels(const Matrix& matrix) {
  expect_tensor(*matrix.checkpoint, *matrix.map, DType::f32, {kLevels});
  const auto stored = matrix.map->floats();
  const auto known = level_values(matrix.state.levels);
  constexpr float kTolerance = 1e-6f;
  for (size_t i = 0; i < known.size(); ++i)
    if (!(std::abs(stored[i] - known[i]) <= kTolerance))
      throw bad_input(fmt::format("level {} is {}, that of {} is {}", i, stored[i],
                                  to_string(matrix.state.levels), known[i]),
                      matrix.checkpoint->place(*matrix.map),
                      "only bitsandbytes' own nf4 and fp4 are supported");
}

/// The matrix that `text`, its quant_state, belongs to.
Matrix read_matrix(const std::shared_ptr<const Checkpoint>& checkpoint, const TensorView& text,
                   const std::string& weight) {
  Matrix matrix{checkpoint, {}};
  matrix.text = &text;
  matrix.codes = &checkpoint->at(weight);
  matrix.scales = &checkpoint->at(weight + ".absmax");
  matrix.map = &checkpoint->at(weight + ".quant_map");
  const bool nested = matrix.scales->dtype == DType::u8;
  matrix.state = read_state(*checkpoint, text, nested);
  const State& state = matrix.state;
  check_levels(matrix);
  const auto bytes = static_cast<uint64_t>((state.rows * state.cols + 1) / 2);
  if (matrix.codes->bytes.size() != bytes)  // of any type: see bnb_4bit_quant_storage
    throw bad_input(fmt::format("holds {} bytes, the codes of [{}, {}] are {}",
                                matrix.codes->bytes.size(), state.rows, state.cols, bytes),
                    checkpoint->place(*matrix.codes), "the file is damaged: fetch it again");
  expect_tensor(*checkpoint, *matrix.scales, nested ? DType::u8 : DType::f32, {state.blocks()});
  if (!nested) return matrix;
  matrix.nested_scales = &checkpoint->at(weight + ".nested_absmax");
  matrix.nested_map = &checkpoint->at(weight + ".nested_quant_map");
  expect_tensor(*checkpoint, *matrix.nested_scales, DType::f32,
                {(state.blocks() + state.nested_block - 1) / state.nested_block});
  expect_tensor(*checkpoint, *matrix.nested_map, DType::f32, {kNestedLevels});
  return matrix;
}

AssembledWeight assembled(const Matrix& matrix, const std::string& name) {
  return {name,
          {matrix.state.rows, matrix.state.cols},
          matrix.layout().name() + (matrix.in_groups() ? "" : " across rows"),
          matrix.codes,
          {matrix.scales, matrix.map, matrix.text, matrix.nested_scales, matrix.nested_map},
          [matrix] { return matrix.load(); }};
}

/// LLM.int8: w = code · scale / 127 with a scale for each row.
AssembledWeight read_rows(const std::shared_ptr<const Checkpoint>& checkpoint,
                          const TensorView& scales, const std::string& module) {
  const TensorView& codes = checkpoint->at(module + ".weight");
  if (codes.dtype != DType::i8 || codes.shape.size() != 2 || codes.count() < 1)
    throw bad_input("codes must be I8 with two dimensions", checkpoint->place(codes));
  expect_tensor(*checkpoint, scales, DType::f32, {codes.shape[0]});
  const TensorView* order = checkpoint->find(module + ".weight_format");
  if (order != nullptr &&
      (order->dtype != DType::u8 || order->count() != 1 || order->bytes.front() != std::byte{0}))
    throw bad_input("the codes stand in the order of a GPU's kernel", checkpoint->place(*order),
                    "supported: weight_format 0, row by row");
  const QuantLayout layout{8, 0, true, DType::f32};
  const auto load = [=, &codes, &scales]() -> Weight {
    QuantizedMatrix q{layout, codes.shape[0], codes.shape[1], {}, {}, {}};
    q.codes.resize(codes.bytes.size());
    for (size_t i = 0; i < q.codes.size(); ++i)
      q.codes[i] = std::to_integer<uint8_t>(codes.bytes[i] ^ std::byte{0x80});  // code + 128
    q.scales = read_scales(*checkpoint, scales);
    for (float& scale : q.scales) scale /= 127.0f;
    return q;
  };
  return {module + ".weight", codes.shape, layout.name(), &codes, {&scales, order}, load};
}

/// Codes that nothing describes would else pass for a weight of integers.
void require_described(const Checkpoint& checkpoint, const std::vector<AssembledWeight>& weights) {
  std::set<const TensorView*> described;
  for (const AssembledWeight& weight : weights) described.insert(weight.first);
  for (const TensorView* tensor : checkpoint.tensors())
    if ((tensor->dtype == DType::u8 || tensor->dtype == DType::i8) &&
        tensor->name.ends_with(".weight") && !described.contains(tensor))
      throw bad_input(tensor->dtype == DType::u8 ? "codes without a quant_state.bitsandbytes__…"
                                                 : "codes without SCB, the scales of their rows",
                      checkpoint.place(*tensor), "the model is incomplete: fetch it again");
}

std::shared_ptr<const WeightSource> open(const ordered_json&, Checkpoint opened,
                                         const std::string& where) {
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(opened));
  std::vector<AssembledWeight> weights;
  std::set<std::string> seen;
  for (const TensorView* tensor : checkpoint->tensors()) {
    const std::string& name = tensor->name;
    if (const size_t at = name.rfind(kState); at != std::string::npos) {
      const std::string weight = name.substr(0, at);
      if (!seen.insert(weight).second)
        throw bad_input("a second quant_state of one weight", checkpoint->place(*tensor));
      weights.push_back(assembled(read_matrix(checkpoint, *tensor, weight), weight));
    } else if (name.ends_with(kRowScales)) {
      const std::string module = name.substr(0, name.size() - kRowScales.size());
      if (!seen.insert(module + ".weight").second)
        throw bad_input("scales of rows beside a quant_state", checkpoint->place(*tensor));
      weights.push_back(read_rows(checkpoint, *tensor, module));
    }
  }
  require_described(*checkpoint, weights);
  if (weights.empty())
    throw bad_input("quantization_config says bitsandbytes, but no tensor is a quant_state or SCB",
                    where,
                    "if the weights are floats, take quantization_config out of config.json");
  return assemble(checkpoint, std::move(weights));
}

}  // namespace

QuantFormat bitsandbytes_format() {
  return {"bitsandbytes",
          "NF4 and FP4 weights as bitsandbytes stores them: in (with double quantization, and "
          "LLM.int8) and out",
          DType::f32,
          objection,
          declare,
          write,
          config,
          open};
}

}  // namespace attar
