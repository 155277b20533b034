#include <fmt/core.h>
#include <fmt/ranges.h>

#include "compress/base/error.h"
#include "compress/formats/assembled_source.h"
#include "compress/formats/compressed_tensors.h"
#include "compress/formats/compressed_tensors_schemes.h"
#include "compress/formats/packing.h"

namespace attar::compressed_tensors {
namespace {

constexpr std::string_view kPacked = ".weight_packed";
constexpr std::string_view kWeight = ".weight";

int64_t words_for(int64_t count, int bits) {
  return (count * bits + 31) / 32;
}

/// The tensors of one quantized linear layer.
struct Layer {
  std::string module;
  Scheme scheme;
  QuantLayout layout;
  int64_t rows = 0, cols = 0;
  const TensorView *codes = nullptr, *shape = nullptr, *scale = nullptr, *zero = nullptr;

  int64_t groups() const {
    return layout.group == 0 ? 1 : (cols + layout.group - 1) / layout.group;
  }
};

/// Finds and checks the tensors of layers; nothing but `weight_shape` is read.
class LayerReader {
 public:
  LayerReader(const Checkpoint& checkpoint, const Schemes& schemes)
      : checkpoint_(checkpoint), schemes_(schemes) {}

  /// `codes` is P.weight_packed, or P.weight with int8.
  Layer read(const std::string& module, const TensorView& codes) const {
    Layer layer;
    layer.module = module;
    layer.codes = &codes;
    const Scheme* scheme = schemes_.find(module);
    if (scheme == nullptr || schemes_.ignored(module))
      throw error(codes, scheme == nullptr
                             ? "the layer is quantized, but no config group targets it"
                             : "the layer is quantized, but quantization_config ignores it");
    const bool packed = codes.name.ends_with(kPacked);
    if ((scheme->storage == Storage::packed) != packed)
      throw error(codes, fmt::format("{} does not store codes under this name", scheme->group));
    layer.scheme = *scheme;
    layer.layout = scheme->layout;
    if (codes.shape.size() != 2) throw error(codes, "codes must have two dimensions");
    read_shape(layer);
    read_scale(layer);
    read_zero(layer);
    if (checkpoint_.find(module + ".weight_g_idx") != nullptr)
      throw error(codes, "weight_g_idx (columns in order of activation) is not supported");
    return layer;
  }

 private:
  Error error(const TensorView& tensor, const std::string& what) const {
    return bad_input(what, checkpoint_.place(tensor));
  }

  void expect(const TensorView& tensor, DType dtype, const std::vector<int64_t>& shape) const {
    expect_tensor(checkpoint_, tensor, dtype, shape);
  }

  void read_shape(Layer& layer) const {
    const TensorView& codes = *layer.codes;
    if (layer.scheme.storage == Storage::plain) {
      if (codes.dtype != DType::i8) throw error(codes, "int-quantized codes must be I8");
      layer.rows = codes.shape[0];
      layer.cols = codes.shape[1];
      if (layer.rows < 1 || layer.cols < 1) throw error(codes, "the layer is empty");
      return;
    }
    layer.shape = &checkpoint_.at(layer.module + ".weight_shape");
    const TensorView& shape = *layer.shape;
    if (shape.count() != 2) throw error(shape, "must hold two numbers: rows and columns");
    const auto sizes = shape.integers();
    layer.rows = sizes[0];
    layer.cols = sizes[1];
    constexpr int64_t kMost = int64_t{1} << 40;
    if (layer.rows < 1 || layer.cols < 1 || layer.rows > kMost || layer.cols > kMost)
      throw error(shape, fmt::format("[{}, {}] is no shape of a linear layer", sizes[0], sizes[1]));
    const int bits = layer.layout.bits;
    const int64_t old_width = (layer.cols + 32 / bits - 1) / (32 / bits);
    const int64_t width = words_for(layer.cols, bits);
    if (codes.shape[1] != width && codes.shape[1] == old_width)
      throw error(codes, fmt::format("{}-bit codes packed {} to a word, as old releases of "
                                     "compressed-tensors did; only the dense stream is supported",
                                     bits, 32 / bits));
    expect(codes, DType::i32, {layer.rows, width});
  }

  void read_scale(Layer& layer) const {
    layer.scale = &checkpoint_.at(layer.module + ".weight_scale");
    const TensorView& scale = *layer.scale;
    if (scale.dtype != DType::f32 && scale.dtype != DType::f16 && scale.dtype != DType::bf16)
      throw error(scale,
                  fmt::format("scales are {}, supported: F32, F16, BF16", dtype_name(scale.dtype)));
    layer.layout.scale_dtype = scale.dtype;
    if (layer.scheme.strategy == Strategy::tensor) {
      if (scale.count() != 1) throw error(scale, "one scale for the tensor is expected");
      return;
    }
    expect(scale, scale.dtype, {layer.rows, layer.groups()});
  }

  void read_zero(Layer& layer) const {
    const std::string name = layer.module + ".weight_zero_point";
    if (layer.layout.symmetric) {
      if (const TensorView* zero = checkpoint_.find(name))
        throw error(*zero, "zero points beside a symmetric scheme");
      return;
    }
    layer.zero = &checkpoint_.at(name);
    if (layer.scheme.strategy == Strategy::tensor) {
      if (layer.zero->count() != 1 || layer.zero->dtype != DType::i8)
        throw error(*layer.zero, "one I8 zero point for the tensor is expected");
    } else if (layer.scheme.storage == Storage::plain) {
      expect(*layer.zero, DType::i8, {layer.rows, layer.groups()});
    } else {
      expect(*layer.zero, DType::i32, {words_for(layer.rows, layer.layout.bits), layer.groups()});
    }
  }

  const Checkpoint& checkpoint_;
  const Schemes& schemes_;
};

/// Signed bytes −2^(b−1) … 2^(b−1) − 1 as codes from 0.
std::vector<uint8_t> unsigned_codes(const Checkpoint& checkpoint, const TensorView& tensor,
                                    int bits) {
  std::vector<uint8_t> codes(tensor.bytes.size());
  const int offset = 1 << (bits - 1);
  for (size_t i = 0; i < codes.size(); ++i) {
    const int value = static_cast<int8_t>(tensor.bytes[i]);
    if (value < -offset || value >= offset)
      throw bad_input(fmt::format("element {} is {}, no {}-bit code", i, value, bits),
                      checkpoint.place(tensor));
    codes[i] = static_cast<uint8_t>(value + offset);
  }
  return codes;
}

QuantizedMatrix load(const Checkpoint& checkpoint, const Layer& layer) {
  QuantizedMatrix q;
  q.layout = layer.layout;
  q.rows = layer.rows;
  q.cols = layer.cols;
  q.codes = layer.scheme.storage == Storage::packed
                ? unpack_columns(words_of(*layer.codes), q.rows, q.cols, q.layout.bits)
                : unsigned_codes(checkpoint, *layer.codes, q.layout.bits);
  q.scales = read_scales(checkpoint, *layer.scale);
  if (layer.zero != nullptr)
    q.zeros = layer.zero->dtype == DType::i8
                  ? unsigned_codes(checkpoint, *layer.zero, q.layout.bits)
                  : unpack_rows(words_of(*layer.zero), q.rows, q.groups(), q.layout.bits);
  if (layer.scheme.strategy == Strategy::tensor) {  // a QuantizedMatrix has one scale per row
    q.scales.assign(static_cast<size_t>(q.rows), q.scales[0]);
    if (!q.zeros.empty()) q.zeros.assign(static_cast<size_t>(q.rows), q.zeros[0]);
  }
  return q;
}

}  // namespace

std::shared_ptr<const WeightSource> open(const nlohmann::ordered_json& quantization,
                                         Checkpoint opened, const std::string& where) {
  const Schemes schemes(quantization, where);
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(opened));
  const LayerReader reader(*checkpoint, schemes);
  std::vector<AssembledWeight> weights;
  for (const TensorView* tensor : checkpoint->tensors()) {
    const std::string_view name = tensor->name;
    const bool packed = name.ends_with(kPacked);
    const bool plain = name.ends_with(kWeight) && tensor->dtype == DType::i8;
    if (!packed && !plain) continue;
    const std::string module(name.substr(0, name.size() - (packed ? kPacked : kWeight).size()));
    const Layer layer = reader.read(module, *tensor);
    const std::string weight = module + std::string(kWeight);
    if (packed && checkpoint->find(weight) != nullptr)
      throw bad_input("the layer is stored both dense and quantized", checkpoint->place(*tensor));
    weights.push_back({weight,
                       {layer.rows, layer.cols},
                       layer.layout.name(),
                       tensor,
                       {layer.scale, layer.zero, layer.shape},
                       [checkpoint, layer] { return load(*checkpoint, layer); }});
  }
  return assemble(checkpoint, std::move(weights));
}

}  // namespace attar::compressed_tensors
