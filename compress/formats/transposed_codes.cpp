#include "compress/formats/transposed_codes.h"

#include <fmt/core.h>

#include "compress/base/error.h"
#include "compress/base/float_types.h"

namespace attar {

std::vector<uint8_t> all_zeros(const QuantizedMatrix& q) {
  if (!q.zeros.empty()) return q.zeros;
  return std::vector<uint8_t>(static_cast<size_t>(q.rows * q.groups()),
                              static_cast<uint8_t>(1 << (q.layout.bits - 1)));
}

void write_half_scales(SafetensorsWriter& writer, const std::string& module,
                       const QuantizedMatrix& q) {
  for (const float scale : q.scales)
    if (from_float16(to_float16(scale)) != scale)
      throw failure(fmt::format("the scale {} is no float16, which this layout stores", scale),
                    "layer " + module, "quantize with scale_dtype: float16");
  writer.write_floats(module + ".scales", transposed(q.scales, q.rows, q.groups()));
}

}  // namespace attar
