// Weights of a spec from a source, checked on the way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "compress/kernels/packed_matrix.h"

namespace attar {

class PackedCache;

/// A vector of `size` finite floats, or bad_input naming the tensor.
std::vector<float> load_vector(const WeightSource& weights, const std::string& name, int64_t size);

/// bad_input unless the weight is [rows, cols] and finite.
void require_matrix(const std::string& name, const Weight& weight, int64_t rows, int64_t cols);

/// The table of learned positions, [position_offset + max_positions, hidden]; no bytes without one.
DenseTensor load_positions(const ModelSpec& spec, const WeightSource& weights);
/// hidden [count, hidden] += the table's rows for positions first, first + 1, …
void add_positions(const ModelSpec& spec, const DenseTensor& table, int64_t first, int64_t count,
                   float* hidden);

/// A matrix, packed: from the cache, if there is one. Throws bad_input unless it is [rows, cols]
/// and finite.
PackedMatrix load_matrix(const std::string& name, int64_t rows, int64_t cols,
                         const WeightSource& weights, PackedCache* cache);

/// A linear layer, packed.
struct Linear {
  LinearSpec spec;
  PackedMatrix weight;
  std::vector<float> bias;

  uint64_t bytes() const { return weight.bytes() + bias.size() * sizeof(float); }
  void add_bias(float* y, int64_t rows) const;
  /// Another weight of the same shape, checked and packed.
  void replace(const Weight& other);
};
/// `replacement` instead of what the source has, when not null.
Linear load_linear(const LinearSpec& spec, const WeightSource& weights,
                   const Weight* replacement = nullptr, PackedCache* cache = nullptr);

}  // namespace attar
