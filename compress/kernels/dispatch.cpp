#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "compress/base/error.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/matmul.h"

namespace attar {
namespace {

struct Candidate {
  const KernelTable* table;
  bool (*supported)();
};

#if defined(__x86_64__)
/// Not every compiler knows this one by its name.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
/// AVX-VNNI: bit 4 of eax in leaf 7, subleaf 1, which GCC 12 has no name for.
bool has_avx_vnni() {
  unsigned int a = 0, b = 0, c = 0, d = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
bool has_dotprod() {
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
bool has_i8mm() {
  return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}
#endif

#if defined(__x86_64__)
const KernelTable kAvxVnniKernels = with_avx_vnni(kAvx2Kernels);
#endif

/// Best first.
const std::array kCandidates = {
#if defined(__x86_64__)
    Candidate{&kAvx512Kernels, has_avx512},
    Candidate{&kAvxVnniKernels, has_avx_vnni},
    Candidate{&kAvx2Kernels, has_avx2},
#elif defined(__aarch64__)
    Candidate{&kI8mmKernels, has_i8mm},
    Candidate{&kDotprodKernels, has_dotprod},
    Candidate{&kNeonKernels, [] { return true; }},
#endif
    Candidate{&kPortableKernels, [] { return true; }},
};

const KernelTable* choose() {
  const char* wanted = std::getenv("ATTAR_CPU");
  if (wanted != nullptr && *wanted != '\0') {
    for (const auto& candidate : kCandidates) {
      if (std::string_view(candidate.table->name) != wanted) continue;
      if (candidate.supported()) return candidate.table;
      throw bad_input("this processor lacks the instruction set " + std::string(wanted),
                      "environment variable ATTAR_CPU", "unset it to use the best one there is");
    }
    std::string known;
    for (const auto& candidate : kCandidates)
      known += (known.empty() ? "" : ", ") + std::string(candidate.table->name);
    throw bad_input("unknown instruction set '" + std::string(wanted) + "'",
                    "environment variable ATTAR_CPU", "known: " + known);
  }
  for (const auto& candidate : kCandidates)
    if (candidate.supported()) return candidate.table;
  return &kPortableKernels;
}

const KernelTable*& current() {
  static const KernelTable* table = choose();
  return table;
}

}  // namespace

const KernelTable& kernels() {
  return *current();
}

const KernelTable* find_kernels(const char* name) {
  for (const auto& candidate : kCandidates)
    if (std::string_view(candidate.table->name) == name && candidate.supported())
      return candidate.table;
  return nullptr;
}

void use_kernels(const KernelTable& table) {
  current() = &table;
}

std::string_view kernel_name() {
  return kernels().name;
}

}  // namespace attar
