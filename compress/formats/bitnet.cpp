#include "compress/formats/bitnet.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/formats/assembled_source.h"

namespace attar {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr int64_t kPerByte = 4;

std::string text(const nlohmann::ordered_json& quantization, const char* key,
                 const std::string& otherwise, std::initializer_list<const char*> known,
                 const std::string& where) {
  const auto found = quantization.find(key);
  if (found == quantization.end() || found->is_null()) return otherwise;
  const std::string value = found->is_string() ? found->get<std::string>() : found->dump();
  if (std::find(known.begin(), known.end(), value) != known.end()) return value;
  throw bad_input(fmt::format("{} \"{}\" is not supported", key, value), where);
}

DenseTensor unpacked(const TensorView& codes, int64_t rows, int64_t cols, float scale,
                     const std::string& place) {
  std::vector<float> values(static_cast<size_t>(rows * cols));
  const int64_t stripe = rows / kPerByte;
  for (int64_t r = 0; r < stripe; ++r)
    for (int64_t c = 0; c < cols; ++c) {
      const auto byte = static_cast<unsigned>(codes.bytes[static_cast<size_t>(r * cols + c)]);
      for (int64_t j = 0; j < kPerByte; ++j) {
        const int code = static_cast<int>(byte >> (2 * j) & 3);
        if (code > 2) throw bad_input("a code of 3 stands for no ternary value", place);
        values[static_cast<size_t>((j * stripe + r) * cols + c)] =
            static_cast<float>(code - 1) * scale;
      }
    }
  return dense_tensor(std::move(values), {rows, cols});
}

/// The masters' ternary values times their scale.
DenseTensor rounded(const TensorView& masters) {
  std::vector<float> values = masters.floats();
  require_finite(masters.name, values);
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(std::abs(value));
  const auto scale = static_cast<float>(
      std::max(sum / static_cast<double>(std::max<size_t>(1, values.size())), 1e-5));
  for (float& value : values)
    value = std::clamp(std::nearbyint(value / scale), -1.0f, 1.0f) * scale;
  return dense_tensor(std::move(values), masters.shape);
}

/// A linear layer of a block; embedding, head and norms stay as they are.
bool is_ternary_layer(std::string_view name) {
  return name.ends_with("_proj.weight");
}

}  // namespace

std::shared_ptr<const WeightSource> open_bitnet(const nlohmann::ordered_json& quantization,
                                                Checkpoint opened, const std::string& where) {
  const bool divides = text(quantization, "linear_class", "bitlinear",
                            {"bitlinear", "autobitlinear"}, where) == "bitlinear";
  const bool online =
      text(quantization, "quantization_mode", "offline", {"offline", "online"}, where) == "online";
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(opened));
  std::vector<AssembledWeight> weights;
  for (const TensorView* view : checkpoint->tensors()) {
    if (!is_ternary_layer(view->name)) continue;
    if (online) {
      weights.push_back({view->name, view->shape, "ternary", view, {}, [=]() -> Weight {
                           return rounded(*view);
                         }});
      continue;
    }
    const std::string place = checkpoint->place(*view);
    if (view->dtype != DType::u8 || view->shape.size() != 2)
      throw bad_input("ternary codes must be U8 with two dimensions", place,
                      "a model of float masters says quantization_mode: online");
    const std::string module = view->name.substr(0, view->name.size() - kWeight.size());
    const TensorView& scale = checkpoint->at(module + ".weight_scale");
    if (scale.count() != 1) throw bad_input("a layer has one scale", checkpoint->place(scale));
    const float value = read_scales(*checkpoint, scale).front();
    if (!(value > 0)) throw bad_input("the scale is not positive", checkpoint->place(scale));
    const int64_t rows = view->shape[0] * kPerByte, cols = view->shape[1];
    weights.push_back({view->name, {rows, cols}, "ternary", view, {&scale}, [=]() -> Weight {
                         return unpacked(*view, rows, cols, divides ? 1 / value : value, place);
                       }});
  }
  if (weights.empty())
    throw bad_input("quantization_config says bitnet, but no layer is ternary", where);
  return assemble(checkpoint, std::move(weights));
}

}  // namespace attar
