// Where a model's weights come from, whatever format holds them: named tensors, dense or quantized,
// read from memory-mapped files one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/dtype.h"
#include "compress/formats/quantized_matrix.h"

namespace attar {

/// A dense tensor's bytes in a mapped file.
struct DenseTensor {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;  // keeps the bytes alive

  int64_t count() const;
  std::vector<float> floats() const;
};

/// A float32 tensor that owns `values`.
DenseTensor dense_tensor(std::vector<float> values, std::vector<int64_t> shape);
/// `values` rounded to a float type, as a tensor that owns its bytes.
DenseTensor dense_tensor(std::span<const float> values, std::vector<int64_t> shape, DType dtype);

using Weight = std::variant<DenseTensor, QuantizedMatrix>;

/// A listing row, from headers alone.
struct WeightInfo {
  std::string name;            // the Hugging Face name, "model.layers.0.mlp.up_proj.weight"
  std::vector<int64_t> shape;  // of the dense tensor it stands for
  std::string format;          // "F32", "BF16", "int4 g32 sym"
  uint64_t bytes = 0;          // on disk: codes, scales, zeros
};

/// Whether a listed format is one of codes in a layout of quant_format.h ("int4 g32 sym", "nf4
/// g64"): no floats and no block type of GGUF. Such a weight is listed and loaded as [out, in].
bool is_code_layout(std::string_view format);

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const std::vector<WeightInfo>& list() const = 0;
  virtual bool has(std::string_view name) const = 0;
  /// Throws bad_input: missing (with the nearest name) or malformed.
  virtual Weight load(std::string_view name) const = 0;
  /// The same numbers for who multiplies with them: as codes, with offsets too, where load() widens
  /// what has no other form than that of its file.
  virtual Weight load_codes(std::string_view name) const { return load(name); }

  /// load() as float32, dequantized if need be.
  std::vector<float> floats(std::string_view name) const;
};

/// A model on disk: configuration, weights, and the files that go along with it.
struct ModelDirectory {
  fs::path path;
  nlohmann::ordered_json config;
  std::shared_ptr<const WeightSource> weights;
  uint64_t weight_bytes = 0;                  // size of the weight files
  std::vector<MappedFile> weight_files = {};  // empty: not all weights are in files

  /// Directories with dense weights (one or sharded safetensors, any float type) or weights in one
  /// of the layouts of quant_format.h, GGUF
  /// files (or a directory with one), of which `config` is made from the metadata. Throws
  /// bad_input: no such directory, no config.json, missing shard, truncated file …
  static ModelDirectory open(const fs::path& path);
};

/// Files carried along from a model to what is made of it: tokenizer files, generation_config.json,
/// chat template, special tokens. Returns the names copied.
std::vector<std::string> copy_side_files(const fs::path& from, const fs::path& to);

/// Non-finite values are refused everywhere a stage reads weights: bad_input naming tensor and
/// index.
void require_finite(std::string_view name, std::span<const float> values);

}  // namespace attar
