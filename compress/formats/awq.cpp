// The AWQ GEMM layout (casper-hansen/AutoAWQ, modules/linear/gemm.py): 4 bits, eight outputs in a
// word in the order of a kernel's registers, true zero points.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "compress/base/error.h"
#include "compress/formats/assembled_source.h"
#include "compress/formats/json.h"
#include "compress/formats/quant_format.h"
#include "compress/formats/transposed_codes.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kCodes = ".qweight";
constexpr int64_t kPerWord = 8;
/// Nibble i of a word is of output kOrder[i] of its eight.
constexpr std::array<int64_t, kPerWord> kOrder = {0, 2, 4, 6, 1, 3, 5, 7};

/// [rows, cols] codes -> [rows, cols / 8] words.
std::vector<int32_t> interleave(const std::vector<uint8_t>& codes) {
  std::vector<int32_t> words(codes.size() / kPerWord);
  for (size_t w = 0; w < words.size(); ++w) {
    uint32_t word = 0;
    for (size_t i = 0; i < kPerWord; ++i)
      word |= static_cast<uint32_t>(codes[w * kPerWord + static_cast<size_t>(kOrder[i])])
              << (4 * i);
    words[w] = static_cast<int32_t>(word);
  }
  return words;
}

std::vector<uint8_t> separate(const std::vector<int32_t>& words) {
  std::vector<uint8_t> codes(words.size() * kPerWord);
  for (size_t w = 0; w < words.size(); ++w)
    for (size_t i = 0; i < kPerWord; ++i)
      codes[w * kPerWord + static_cast<size_t>(kOrder[i])] =
          static_cast<uint8_t>(static_cast<uint32_t>(words[w]) >> (4 * i) & 15);
  return codes;
}

std::string objection(int64_t rows, int64_t cols, const QuantLayout& layout) {
  if (layout.int8_inputs) return "the layout cannot say that inputs are rounded";
  if (layout.levels != Levels::integers)
    return fmt::format("{} levels; AWQ's layout holds integers", to_string(layout.levels));
  if (layout.bits != 4) return fmt::format("{} bits; AWQ's layout holds 4", layout.bits);
  if (rows % kPerWord != 0) return fmt::format("{} outputs are no multiple of 8", rows);
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
  return {{module + ".qweight", DType::i32, {cols, rows / kPerWord}},
          {module + ".qzeros", DType::i32, {groups, rows / kPerWord}},
          {module + ".scales", DType::f16, {groups, rows}}};
}

void write(SafetensorsWriter& writer, const std::string& module, const QuantizedMatrix& q) {
  const auto codes = interleave(transposed(q.codes, q.rows, q.cols));
  writer.write(module + ".qweight", std::as_bytes(std::span(codes)));
  const auto zeros = interleave(transposed(all_zeros(q), q.rows, q.groups()));
  writer.write(module + ".qzeros", std::as_bytes(std::span(zeros)));
  write_half_scales(writer, module, q);
}

ordered_json config(const std::vector<std::pair<std::string, QuantLayout>>& modules,
                    const std::vector<std::string>& ignored) {
  const QuantLayout& first = modules.front().second;
  for (const auto& [module, layout] : modules)
    if (layout.group != first.group)
      throw bad_input(fmt::format("layer {} is {}, {} is {}; an AWQ model has one group size",
                                  modules.front().first, first.name(), module, layout.name()),
                      "quantization_config", "use format: compressed-tensors");
  ordered_json config;
  config["quant_method"] = "awq";
  config["bits"] = 4;
  config["group_size"] = named_group(first);
  config["zero_point"] = true;  // also of symmetric matrices: their zero points are all 8
  config["version"] = "gemm";
  config["modules_to_not_convert"] =
      ignored.empty() ? ordered_json(nullptr) : ordered_json(ignored);
  return config;
}

int64_t read_group(const ordered_json& json, const std::string& where) {
  const auto integer = [&](const char* key, const char* old_key) -> std::optional<int64_t> {
    for (const char* name : {key, old_key})
      if (json.contains(name)) return json_integer(json[name]);
    return {};
  };
  if (integer("bits", "w_bit").value_or(0) != 4)
    throw bad_input("AWQ weights of other than 4 bits are not supported", where + ".bits");
  const auto version = json.value("version", std::string("gemm"));
  if (version != "gemm" && version != "GEMM")
    throw bad_input(fmt::format("unsupported AWQ version \"{}\"", version), where + ".version",
                    "supported: gemm");
  const auto group = integer("group_size", "q_group_size");
  if (!group || *group == 0 || *group < -1)
    throw bad_input("group_size is missing or no size", where + ".group_size");
  return *group;
}

std::shared_ptr<const WeightSource> open(const ordered_json& quantization, Checkpoint opened,
                                         const std::string& where) {
  const int64_t group = read_group(quantization, where);
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(opened));
  std::vector<AssembledWeight> weights;
  for (const TensorView* codes : checkpoint->tensors()) {
    if (!codes->name.ends_with(kCodes)) continue;
    const std::string module = codes->name.substr(0, codes->name.size() - kCodes.size());
    if (codes->shape.size() != 2 || codes->dtype != DType::i32 || codes->count() < 1)
      throw bad_input("codes must be I32 with two dimensions", checkpoint->place(*codes));
    const int64_t cols = codes->shape[0], rows = codes->shape[1] * kPerWord;
    const int64_t width = group < 0 ? cols : group, groups = (cols + width - 1) / width;
    const TensorView &zeros = checkpoint->at(module + ".qzeros"),
                     &scales = checkpoint->at(module + ".scales");
    expect_tensor(*checkpoint, zeros, DType::i32, {groups, rows / kPerWord});
    expect_tensor(*checkpoint, scales, scales.dtype, {groups, rows});
    if (checkpoint->find(module + ".weight") != nullptr)
      throw bad_input("the layer is stored both dense and quantized", checkpoint->place(*codes));
    const QuantLayout layout{4, group < 0 ? 0 : group, false, scales.dtype};
    const auto load = [=, &zeros, &scales]() -> Weight {
      QuantizedMatrix q{layout, rows, cols, transposed(separate(words_of(*codes)), cols, rows),
                        {},     {}};
      q.scales = transposed(read_scales(*checkpoint, scales), groups, rows);
      q.zeros = transposed(separate(words_of(zeros)), groups, rows);
      if (std::all_of(q.zeros.begin(), q.zeros.end(), [](uint8_t z) { return z == 8; })) {
        q.layout.symmetric = true;
        q.zeros.clear();
      }
      return q;
    };
    weights.push_back(
        {module + ".weight", {rows, cols}, layout.name(), codes, {&zeros, &scales}, load});
  }
  if (weights.empty())
    throw bad_input("quantization_config says AWQ, but no tensor ends in .qweight", where);
  return assemble(checkpoint, std::move(weights));
}

}  // namespace

QuantFormat awq_format() {
  return {"awq",      "int4 weights as AutoAWQ's GEMM kernels store them: in and out",
          DType::f16, objection,
          declare,    write,
          config,     open};
}

}  // namespace attar
