// AVX2 with FMA, F16C and AVX-VNNI.
#include "compress/kernels/avx2.inc"

namespace attar {
namespace {

inline Words broadcast_word(int32_t word) {
  return _mm256_set1_epi32(word);
}
inline Words add_products(Words sum, Words codes, Words x) {
  return _mm256_dpbusd_avx_epi32(sum, codes, x);
}

}  // namespace
}  // namespace attar

#include "compress/kernels/vnni.inc"
//
#include "compress/kernels/kernels.inc"
//
#define ATTAR_AVX_VNNI
#include "compress/kernels/avx2_wide.inc"

namespace attar {
KernelTable with_avx_vnni(KernelTable avx2) {
  avx2.name = "avxvnni";
  return with_avx2_tiles(avx2);
}
}  // namespace attar
