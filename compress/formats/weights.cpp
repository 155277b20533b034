#include "compress/formats/weights.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "compress/base/error.h"
#include "compress/formats/bitnet.h"
#include "compress/formats/checkpoint.h"
#include "compress/formats/gguf/model_file.h"
#include "compress/formats/json.h"
#include "compress/formats/quant_format.h"

namespace attar {
namespace {

/// Weights as they stand in the safetensors files.
class DenseSource : public WeightSource {
 public:
  explicit DenseSource(Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {
    for (const TensorView* tensor : checkpoint_.tensors())
      list_.push_back({tensor->name, tensor->shape, std::string(dtype_name(tensor->dtype)),
                       tensor->bytes.size()});
  }

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return checkpoint_.find(name) != nullptr; }
  Weight load(std::string_view name) const override {
    const TensorView& tensor = checkpoint_.at(name);
    return DenseTensor{tensor.dtype, tensor.shape, tensor.bytes, checkpoint_.owner(tensor)};
  }

 private:
  Checkpoint checkpoint_;
  std::vector<WeightInfo> list_;
};

nlohmann::ordered_json read_config(const fs::path& directory) {
  std::error_code code;
  const auto status = fs::status(directory, code);
  if (!fs::exists(status) || code)
    throw bad_input(
        "no such model directory", directory.string(),
        "give a directory that holds config.json and model.safetensors, or a GGUF file");
  if (!fs::is_directory(status))
    throw bad_input("a model is a directory or a GGUF file, this is neither", directory.string(),
                    "give the directory that holds config.json and model.safetensors");
  const fs::path path = directory / "config.json";
  if (!fs::exists(path))
    throw bad_input("the directory holds no config.json", directory.string(),
                    fs::exists(directory / "adapter_config.json")
                        ? "this is a LoRA adapter: give its base model, and the adapter separately"
                        : "give a Hugging Face model directory");
  auto config = parse_json<nlohmann::ordered_json>(MappedFile::open(path).text(), path.string());
  if (!config.is_object()) throw bad_input("config.json is no JSON object", path.string());
  return config;
}

/// The quantization_config of a model whose weights are quantized.
const nlohmann::ordered_json* find_quantization(const nlohmann::ordered_json& config,
                                                const std::string& where) {
  const auto quantization = config.find("quantization_config");
  if (quantization == config.end() || quantization->is_null()) return nullptr;
  if (!quantization->is_object())
    throw bad_input("quantization_config names no quant_method", where);
  return &*quantization;
}

/// Its quant_method. Early bitsandbytes checkpoints name none.
std::string method_of(const nlohmann::ordered_json& quantization, const std::string& where) {
  const auto method = quantization.find("quant_method");
  if (method == quantization.end()) {
    for (const char* key : {"load_in_4bit", "load_in_8bit"})
      if (quantization.value(key, nlohmann::ordered_json()) == true) return "bitsandbytes";
    throw bad_input("quantization_config names no quant_method", where);
  }
  if (!method->is_string()) throw bad_input("quant_method is no text", where);
  return method->get<std::string>();
}

}  // namespace

int64_t DenseTensor::count() const {
  return element_count(shape);
}

std::vector<float> DenseTensor::floats() const {
  if (!is_float(dtype))
    throw bad_input(fmt::format("a weight holds {}, not floats", dtype_name(dtype)));
  std::vector<float> values(static_cast<size_t>(count()));
  to_float32(bytes, dtype, values);
  return values;
}

DenseTensor dense_tensor(std::vector<float> values, std::vector<int64_t> shape) {
  const auto owner = std::make_shared<std::vector<float>>(std::move(values));
  return {DType::f32, std::move(shape), std::as_bytes(std::span(*owner)), owner};
}

DenseTensor dense_tensor(std::span<const float> values, std::vector<int64_t> shape, DType dtype) {
  const auto owner = std::make_shared<std::vector<std::byte>>(values.size() * dtype_size(dtype));
  from_float32(values, dtype, *owner);
  return {dtype, std::move(shape), *owner, owner};
}

bool is_code_layout(std::string_view format) {
  constexpr std::array kKinds = {Levels::integers, Levels::nf4, Levels::fp4};
  return std::ranges::any_of(kKinds,
                             [&](Levels levels) { return format.starts_with(to_string(levels)); });
}

std::vector<float> WeightSource::floats(std::string_view name) const {
  const Weight weight = load(name);
  if (const auto* quantized = std::get_if<QuantizedMatrix>(&weight)) return dequantize(*quantized);
  const auto& dense = std::get<DenseTensor>(weight);
  if (!is_float(dense.dtype))
    throw bad_input(fmt::format("the tensor holds {}, not floats", dtype_name(dense.dtype)),
                    fmt::format("tensor {}", name));
  return dense.floats();
}

ModelDirectory ModelDirectory::open(const fs::path& path) {
  if (const auto file = gguf::find_model_file(path)) return gguf::open_model_file(*file);
  ModelDirectory model;
  model.path = path;
  model.config = read_config(path);
  const std::string where = (path / "config.json").string() + ": quantization_config";
  const auto* quantization = find_quantization(model.config, where);
  const std::string method = quantization == nullptr ? "" : method_of(*quantization, where);
  const bool ternary = method == kBitnetMethod;
  const QuantFormat* format =
      method.empty() || ternary ? nullptr : &find_quant_format(method, where);
  Checkpoint checkpoint = Checkpoint::open(path);
  model.weight_bytes = checkpoint.file_bytes();
  model.weight_files = checkpoint.files();
  if (ternary)
    model.weights = open_bitnet(*quantization, std::move(checkpoint), where);
  else if (format == nullptr)
    model.weights = std::make_shared<DenseSource>(std::move(checkpoint));
  else
    model.weights = format->open(*quantization, std::move(checkpoint), where);
  return model;
}

void require_finite(std::string_view name, std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t any = 0;  // the branch-free pass is the usual one
  for (const float value : values)
    any |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & kExponent) == kExponent);
  if (any == 0) return;
  size_t index = 0;
  while (std::isfinite(values[index])) ++index;
  throw bad_input(fmt::format("element {} of {} is {}", index, values.size(),
                              std::isnan(values[index]) ? "not a number" : "infinite"),
                  fmt::format("tensor {}", name),
                  "the model is damaged: fetch it again, or train it with a lower learning rate");
}

}  // namespace attar
