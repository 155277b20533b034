// The inner loops, one table of function pointers per instruction set.
//
// The sources behind it (portable.cpp, avx*.cpp, neon*.cpp) are compiled with flags of
// their own from one text, kernels.inc. They see this header and intrinsics only: an inline
// function of the standard library compiled there could be the copy that the linker keeps for
// everybody. Every entry of every table gives the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attar {

inline constexpr int64_t kPanel = 32;  // output columns (rows of W) that are packed side by side
inline constexpr int64_t kGemvPanels = 4;  // panels that one gemv call may take

/// What a packed matrix stores per weight.
enum class PackedFormat { f32, f16, bf16, u4, u8 };

/// A packed matrix as the kernels see it. Rows are packed in panels of 32 (the last one
/// zero-filled).
///   floats:  data [panel][cols][32]
///   u4:      data [panel][cols/8][32 rows][4 bytes]: byte j holds column j low and column j + 4
///   high u8:      data [panel][cols/4][32 rows][4 bytes]: byte j holds column j
/// and for integers scales [panel][groups][32] (f32, f16 or bytes), zeros [panel][groups][32]
/// unless symmetric, or offsets [panel][groups][32] as the scales: w = code · scale + offset.
/// Codes of 4 bits may stand for levels instead: w = levels[code] · scale.
struct PackedView {
  PackedFormat format;
  int64_t rows, cols;
  int64_t group, groups;  // columns that share a scale; the last group may be shorter
  bool half_scales;       // scales are f16
  float zero;             // of every group when zeros == nullptr, else about what zeros are
  const std::byte* data;
  int64_t panel_bytes;
  const std::byte* scales;
  const uint8_t* zeros;
  bool int8_inputs;  // made for inputs rounded to int8 with one scale a row
  const std::byte* offsets;
  /// Not null: scales (offsets) are bytes b that stand for (b − 128) · unit, with f16 units
  /// [panel][groups / 2^unit_shift][32].
  const std::byte *scale_units, *offset_units;
  int unit_shift;
  const float* levels;   // [16], or null
  int64_t first_column;  // that data of integers begins with
};

/// How rows of x become int8 rows.
enum class Rounding {
  segments,  // one int8 row: a scale per segment, its largest magnitude / 127
  row,       // one int8 row: one scale for the whole row (repeated for every segment)
  /// Int8 rows whose sum is x: a segment's values as fixed-point numbers in digits of base 128. The
  /// error is at most 2^-15 (two digits) or 2^-22 (three, that of a float32 sum) of the segment's
  /// largest magnitude.
  two_digits,
  three_digits,
};
constexpr int64_t rows_per_row(Rounding rounding) {
  return rounding == Rounding::three_digits ? 3 : rounding == Rounding::two_digits ? 2 : 1;
}

/// Rows of int8 codes, a scale per row and segment of columns: x ≈ codes · scale, |code| ≤
/// 127. A segment never crosses a group of the weights. The same bytes on every instruction set.
struct QuantizedTile {
  const int8_t* codes;  // [cols / 4][rows][4], zero-filled to a multiple of 8 columns
  const float* scales;  // [segments][rows]
  const int32_t* sums;  // [segments][rows]: sum of the codes
  int64_t rows;         // ≤ 12
  int64_t segment;      // columns, a multiple of 8
  int64_t begin, end;   // the segments to multiply
};

inline constexpr int64_t kMostSegment = 128;  // but for Rounding::row
/// The largest fixed-point number of so many digits: the first is 127, the others 0; all but the
/// first are in [-64, 63].
constexpr float most_fixed(int digits) {
  return digits == 1 ? 127.0f : 128 * most_fixed(digits - 1);
}
/// A segment whose largest magnitude is below this becomes zeros (its factor would overflow).
inline constexpr float kTiny = 1e-30f;

inline constexpr int64_t kFusedProbe = 12 * kPanel, kInt8Probe = 12 * 8 * kPanel;

struct KernelTable {
  const char* name;

  /// out[panels · 32] = W x for `panels` ≤ kGemvPanels panels from `panel` on; x [cols].
  void (*gemv)(const PackedView& w, int64_t panel, int64_t panels, const float* x, float* out);

  /// out [end − begin, 32]: columns begin … end of one panel as floats, (code − zero) · scale,
  /// code · scale + offset or levels[code] · scale for integers.
  void (*widen)(const PackedView& w, int64_t panel, int64_t begin, int64_t end, float* out);

  /// out [end − begin, 32]: offsets of groups begin … end of one panel as floats; with zeros (zero
  /// − zeros) · scale, which makes up for codes less the shared zero.
  void (*widen_offsets)(const PackedView& w, int64_t panel, int64_t begin, int64_t end, float* out);

  /// out [2 blocks][32][4 bytes], as u8 holds them: the table's [16] bytes that the codes of so
  /// many blocks of 8 columns (u4) name.
  void (*look_up)(const std::byte* codes, int64_t blocks, const uint8_t* table, std::byte* out);

  /// y [rows, 32] (+)= Σ_k x[k, row] · w[k, :], one fused step per k in order. x [depth, ·] with
  /// x_stride between its rows, w [depth, 32] contiguous, y with y_stride. add: go on from what y
  /// holds.
  void (*tile)(int64_t rows, int64_t depth, const float* x, int64_t x_stride, const float* w,
               float* y, int64_t y_stride, bool add);

  /// Quantizes `rows` rows of x, `stride` floats apart, to nearest even. Row r becomes the tile's
  /// rows n r … n r + n − 1, n = rows_per_row(rounding); digits in descending order.
  void (*quantize_tile)(const float* x, int64_t stride, int64_t rows, int64_t cols, int64_t segment,
                        Rounding rounding, int8_t* codes, float* scales, int32_t* sums);

  /// y [x.rows, 32] (+)= one panel times the quantized rows: for every segment in order the exact
  /// integer sum s = Σ (code − zero) · x code with the shared zero, then y = fma(s, weight scale ·
  /// x scale, y). Offsets are added by the caller.
  void (*int8_tile)(const PackedView& w, int64_t panel, const QuantizedTile& x, float* y, bool add);

  /// scores[i] = exp(scores[i] − max), 0 for −infinity; returns their sum. n a multiple of 32; lane
  /// sums i mod 32, then a fixed tree.
  float (*softmax)(float* scores, int64_t n);

  /// Σ x² in the same order.
  float (*sum_of_squares)(const float* x, int64_t n);

  /// out = silu(gate) · up, or gelu_tanh; out may be gate.
  void (*silu_product)(const float* gate, const float* up, float* out, int64_t n);
  void (*gelu_tanh_product)(const float* gate, const float* up, float* out, int64_t n);

  /// y += a · x, fused.
  void (*axpy)(float a, const float* x, float* y, int64_t n);

  // Ceilings, for benchmarks. Each returns a sum that keeps its work from being optimized away.

  /// Reads n floats (a multiple of 1024) with software prefetch.
  float (*read_probe)(const float* x, int64_t n);
  /// `rounds` · kFusedProbe fused multiply-adds in registers.
  float (*fused_probe)(int64_t rounds);
  /// `rounds` · kInt8Probe integer multiply-adds in registers.
  float (*int8_probe)(int64_t rounds);
};

/// The table in use: the best that this processor has, or the one that ATTAR_CPU names. Throws
/// bad_input.
const KernelTable& kernels();

/// A table by name, nullptr when unknown or when this processor lacks it: for tests and benchmarks.
const KernelTable* find_kernels(const char* name);

/// Uses another table from now on: for tests and benchmarks.
void use_kernels(const KernelTable& table);

extern const KernelTable kPortableKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels, kAvx512Kernels;
/// The kernels for AVX2 with the int8 products of AVX-VNNI.
KernelTable with_avx_vnni(KernelTable avx2);
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels, kDotprodKernels, kI8mmKernels;
#endif

}  // namespace attar
