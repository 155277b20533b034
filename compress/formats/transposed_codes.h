// What GPTQ's and AWQ's layouts share: matrices stand as [in, out], with float16 scales [groups,
// out].
#pragma once

#include <string>

#include "compress/formats/quantized_matrix.h"
#include "compress/formats/safetensors.h"

namespace attar {

/// [rows, cols] -> [cols, rows]
template <class T>
std::vector<T> transposed(const std::vector<T>& from, int64_t rows, int64_t cols) {
  std::vector<T> to(from.size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t col = 0; col < cols; ++col)
      to[static_cast<size_t>(col * rows + row)] = from[static_cast<size_t>(row * cols + col)];
  return to;
}

/// Zeros [rows, groups], also of a symmetric matrix.
std::vector<uint8_t> all_zeros(const QuantizedMatrix& q);

/// Writes `module`.scales; failure when one does not fit float16 without loss.
void write_half_scales(SafetensorsWriter& writer, const std::string& module,
                       const QuantizedMatrix& q);

/// The group size that configurations name: −1 for the whole row.
inline int64_t named_group(const QuantLayout& layout) {
  return layout.group == 0 ? -1 : layout.group;
}

}  // namespace attar
