// Round to nearest: every weight becomes the nearest point of its group's grid.
#pragma once

#include <cstdint>
#include <span>

#include "compress/formats/quantized_matrix.h"
#include "quantize/scales.h"

namespace attar {

/// w [rows, cols], finite. Float32 arithmetic in the order of compressed-tensors:
/// code = clamp(round(w / scale + zero)), so that its codes are reproduced bit for bit with minmax
/// scales.
QuantizedMatrix rtn(std::span<const float> w, int64_t rows, int64_t cols, const QuantLayout& layout,
                    const ScaleOptions& options = {});

/// The nearest NF4 level of every weight, on its group's largest magnitude as the scale: what
/// bitsandbytes makes of w where groups fill rows, bit for bit. The layout's levels are nf4, its
/// scales float32; rtn() comes here for such a layout (with minmax, there is nothing to search).
QuantizedMatrix round_to_levels(std::span<const float> w, int64_t rows, int64_t cols,
                                const QuantLayout& layout);

/// The codes of w on given scales.
QuantizedMatrix round_to(std::span<const float> w, int64_t rows, int64_t cols,
                         const QuantLayout& layout, const GroupScales& scales);

/// A matrix without codes yet: shape, scales and (asymmetric) zeros in their stored form.
QuantizedMatrix with_scales(int64_t rows, int64_t cols, const QuantLayout& layout,
                            const GroupScales& scales);

}  // namespace attar
