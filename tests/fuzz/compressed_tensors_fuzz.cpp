// Quantized models with any configuration and any small tensors under the names that matter:
// refused with bad_input, or every weight loads with the shape it is listed with.
#include "compress/formats/compressed_tensors.h"

#include <fuzzer/FuzzedDataProvider.h>

#include <filesystem>
#include <fstream>

#include "compress/base/error.h"
#include "compress/formats/json.h"

namespace {

using nlohmann::ordered_json;

constexpr const char* kNames[] = {"a.weight_packed",     "a.weight_scale",  "a.weight_shape",
                                  "a.weight_zero_point", "a.weight_g_idx",  "a.weight",
                                  "lm_head.weight",      "b.weight_packed", "b.weight_scale"};
constexpr const char* kTypes[] = {"I32", "F32", "BF16", "F16", "I64", "I8"};
constexpr int kSizes[] = {4, 4, 2, 2, 8, 1};

/// A directory in memory for this process.
struct Scratch {
  Scratch() {
    char name[] = "/dev/shm/attar-fuzz-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    directory = name;
  }
  ~Scratch() { attar::fs::remove_all(directory); }
  attar::fs::path directory;
};

/// A configuration near the valid ones, or any JSON.
ordered_json make_config(FuzzedDataProvider& input) {
  if (input.ConsumeProbability<float>() < 0.2f)
    return attar::parse_json<ordered_json>(input.ConsumeRandomLengthString(600), "config.json");
  ordered_json weights = {
      {"num_bits", input.ConsumeIntegralInRange(1, 9)},
      {"type", "int"},
      {"symmetric", input.ConsumeBool()},
      {"strategy", input.PickValueInArray({"group", "channel", "tensor", "block"})},
      {"group_size", input.ConsumeIntegralInRange(-1, 40)}};
  const char* format =
      input.PickValueInArray({"pack-quantized", "int-quantized", "naive-quantized", "x"});
  ordered_json group = {{"targets", {input.ConsumeRandomLengthString(8), "Linear"}},
                        {"weights", std::move(weights)}};
  return {{"format", format},
          {"ignore", {input.ConsumeRandomLengthString(8)}},
          {"config_groups", {{"group_0", std::move(group)}}}};
}

std::string make_file(FuzzedDataProvider& input) {
  ordered_json header = ordered_json::object();
  std::string data;
  for (const char* name : kNames) {
    if (!input.ConsumeBool()) continue;
    const auto type = input.ConsumeIntegralInRange<size_t>(0, std::size(kTypes) - 1);
    std::vector<int64_t> shape(input.ConsumeIntegralInRange<size_t>(0, 3));
    size_t bytes = static_cast<size_t>(kSizes[type]);
    for (int64_t& size : shape) {
      size = input.ConsumeIntegralInRange<int64_t>(0, 9);
      bytes *= static_cast<size_t>(size);
    }
    std::string content = input.ConsumeBytesAsString(bytes);
    content.resize(bytes);
    header[name] = {{"dtype", kTypes[type]},
                    {"shape", shape},
                    {"data_offsets", {data.size(), data.size() + bytes}}};
    data += content;
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text + data;
}

void check(const attar::WeightSource& weights) {
  for (const attar::WeightInfo& info : weights.list()) {
    if (!weights.has(info.name)) std::abort();
    const auto weight = weights.load(info.name);
    const auto* q = std::get_if<attar::QuantizedMatrix>(&weight);
    if (q == nullptr) continue;
    if (info.shape != std::vector<int64_t>{q->rows, q->cols}) std::abort();
    if (attar::dequantize(*q).size() != q->codes.size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  FuzzedDataProvider input(data, size);
  try {
    const ordered_json config = make_config(input);
    if (!config.is_object()) return 0;  // ModelDirectory refuses it before
    std::ofstream(scratch.directory / "model.safetensors", std::ios::binary) << make_file(input);
    check(*attar::compressed_tensors::open(config, attar::Checkpoint::open(scratch.directory),
                                           "config.json"));
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
