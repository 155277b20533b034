// What the kernel tests share.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"

namespace attar {

/// Every table that this processor can run.
inline std::vector<const KernelTable*> variants() {
  std::vector<const KernelTable*> found;
  for (const char* name : {"portable", "avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"})
    if (const KernelTable* table = find_kernels(name)) found.push_back(table);
  return found;
}

/// Puts the table and the thread count back at the end of a test.
class KernelGuard {
 public:
  ~KernelGuard() {
    use_kernels(*table_);
    set_thread_count(threads_);
  }

 private:
  const KernelTable* table_ = &kernels();
  int threads_ = thread_count();
};

inline std::vector<float> normals(Random& random, int64_t count, double scale = 1) {
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = static_cast<float>(scale * random.normal());
  return out;
}

}  // namespace attar
