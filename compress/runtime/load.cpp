#include "compress/runtime/load.h"

#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/mapped_pages.h"
#include "compress/runtime/packed_cache.h"

namespace attar {

std::vector<float> load_vector(const WeightSource& weights, const std::string& name, int64_t size) {
  std::vector<float> values = weights.floats(name);
  if (static_cast<int64_t>(values.size()) != size)
    throw bad_input(fmt::format("{} values where the configuration needs {}", values.size(), size),
                    "tensor " + name);
  require_finite(name, values);
  return values;
}

void require_matrix(const std::string& name, const Weight& weight, int64_t rows, int64_t cols) {
  const auto* dense = std::get_if<DenseTensor>(&weight);
  const auto* quantized = std::get_if<QuantizedMatrix>(&weight);
  const bool fits = dense != nullptr ? dense->shape == std::vector<int64_t>{rows, cols}
                                     : quantized->rows == rows && quantized->cols == cols;
  if (!fits)
    throw bad_input(
        fmt::format("not of the shape [{}, {}] that the configuration needs", rows, cols),
        "tensor " + name);
  if (quantized != nullptr) {
    require_finite(name, quantized->scales);
    require_finite(name, quantized->offsets);
    return;
  }
  // A stretch at a time: a widened copy of a whole matrix would double the memory that loading
  // needs.
  constexpr size_t kStretch = size_t{1} << 16;
  const size_t size = dtype_size(dense->dtype), total = dense->bytes.size() / size;
  std::vector<float> values;
  for (size_t i = 0; i < total; i += kStretch) {
    values.resize(std::min(kStretch, total - i));
    to_float32(dense->bytes.subspan(i * size, values.size() * size), dense->dtype, values);
    require_finite(name, values);
  }
}

DenseTensor load_positions(const ModelSpec& spec, const WeightSource& weights) {
  if (spec.positions.empty()) return {};
  const Weight weight = weights.load(spec.positions);
  require_matrix(spec.positions, weight, spec.position_offset + spec.max_positions, spec.hidden);
  const auto* dense = std::get_if<DenseTensor>(&weight);
  if (dense == nullptr)
    throw bad_input("the table of positions is quantized", "tensor " + spec.positions);
  return *dense;
}

void add_positions(const ModelSpec& spec, const DenseTensor& table, int64_t first, int64_t count,
                   float* hidden) {
  if (spec.positions.empty()) return;
  const auto width = static_cast<size_t>(spec.hidden);
  const size_t row_bytes = width * dtype_size(table.dtype);
  std::vector<float> row(width);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(spec.position_offset + first + i);
    to_float32(table.bytes.subspan(at * row_bytes, row_bytes), table.dtype, row);
    float* to = hidden + i * spec.hidden;
    for (size_t d = 0; d < width; ++d) to[d] += row[d];
  }
}

void Linear::add_bias(float* y, int64_t rows) const {
  if (bias.empty()) return;
  for (int64_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < bias.size(); ++i) y[static_cast<size_t>(r) * bias.size() + i] += bias[i];
}

void Linear::replace(const Weight& other) {
  require_matrix(spec.weight, other, spec.out, spec.in);
  weight = PackedMatrix::pack(other);
}

PackedMatrix load_matrix(const std::string& name, int64_t rows, int64_t cols,
                         const WeightSource& weights, PackedCache* cache) {
  if (cache != nullptr) return cache->matrix(name, rows, cols, weights);
  const Weight weight = weights.load_codes(name);
  require_matrix(name, weight, rows, cols);
  PackedMatrix packed = PackedMatrix::pack(weight);
  release_mapped_pages();  // what is packed is not needed in the file's form as well
  return packed;
}

Linear load_linear(const LinearSpec& spec, const WeightSource& weights, const Weight* replacement,
                   PackedCache* cache) {
  Linear out;
  out.spec = spec;
  if (replacement != nullptr)
    out.replace(*replacement);
  else
    out.weight = load_matrix(spec.weight, spec.out, spec.in, weights, cache);
  if (!spec.bias.empty()) out.bias = load_vector(weights, spec.bias, spec.out);
  return out;
}

}  // namespace attar
