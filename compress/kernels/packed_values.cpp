#include "compress/kernels/packed_values.h"

#include <atomic>

#include "compress/base/threads.h"

namespace attar {
namespace {

/// Whether `wrong` is true of any of them. Every value is looked at: a loop that may stop early is
/// not vectorized.
template <class T, class F>
bool any(const AlignedBuffer& part, F wrong) {
  const T* values = reinterpret_cast<const T*>(part.data());
  std::atomic<bool> found = false;
  parallel_for(static_cast<int64_t>(part.size() / sizeof(T)), 1 << 18,
               [&](int64_t begin, int64_t end) {
                 T some = 0;
                 for (int64_t i = begin; i < end; ++i)
                   some = static_cast<T>(some | static_cast<T>(wrong(values[i])));
                 if (some != 0) found = true;
               });
  return found;
}

/// Whether there are infinities or NaNs among floats of a format.
bool any_not_finite(const AlignedBuffer& part, PackedFormat format) {
  const auto exponent = [](auto mask) {
    return [mask](auto value) { return (value & mask) == mask; };
  };
  if (format == PackedFormat::f32) return any<uint32_t>(part, exponent(0x7f800000u));
  return any<uint16_t>(part, exponent(format == PackedFormat::f16 ? 0x7c00 : 0x7f80));
}

}  // namespace

const char* find_wrong_value(const PackedMatrix::Storage& storage) {
  const PackedView& view = storage.view;
  if (view.groups == 0)
    return any_not_finite(storage.data, view.format) ? "a value is not finite" : nullptr;
  const bool units = storage.scale_units.size() != 0;
  const PackedFormat numbers = view.half_scales ? PackedFormat::f16 : PackedFormat::f32;
  for (const AlignedBuffer* part : {&storage.scales, &storage.offsets})
    if (!units && any_not_finite(*part, numbers)) return "a scale or offset is not finite";
  for (const AlignedBuffer* part : {&storage.scale_units, &storage.offset_units})
    if (any_not_finite(*part, PackedFormat::f16)) return "a unit is not finite";
  const auto most = static_cast<uint8_t>(2 * view.zero - 1);
  if (any<uint8_t>(storage.zeros, [most](uint8_t zero) { return zero > most; }))
    return "a zero beyond the codes";
  return nullptr;
}

}  // namespace attar
