#include "compress/cli/training.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/progress.h"

namespace attar::cli {

void prepare_training_environment() {
  // Its OpenMP workers spin between loops and take the processors from everything else that works.
  ::setenv("GOMP_SPINCOUNT", "0", 0);
  // The same for the threads of OpenBLAS: 2^4 cycles of waiting, then sleep.
  ::setenv("THREAD_TIMEOUT", "4", 0);
#if defined(__x86_64__)
  // ATen takes AVX2 where it could take AVX-512 (about 7 % of a training step).
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    ::setenv("ATEN_CPU_CAPABILITY", "avx512", 0);
#endif
  // Naming an older core (Haswell, say) halves fp32 matrix products; OpenBLAS knows the processor
  // best.
  ::unsetenv("OPENBLAS_CORETYPE");
}

std::vector<std::string>& process_arguments() {
  static std::vector<std::string> arguments;
  return arguments;
}

fs::path training_program() {
  const fs::path here = executable_directory();
  for (const auto& place : {here / "attar-train", here / "../libexec/attar/attar-train"})
    if (::access(place.c_str(), X_OK) == 0) return place.lexically_normal();
  return {};
}

void require_training() {
  if (training_backend()) return;
  const fs::path program = training_program();
  if (program.empty())
    throw bad_input("this needs training, and the program attar-train is not there",
                    (executable_directory() / "attar-train").string(),
                    "build it with LibTorch (cmake -DATTAR_TRAINING=ON, target attar-train)");
  std::vector<char*> arguments;
  for (auto& argument : process_arguments()) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  if (const char* core = std::getenv("OPENBLAS_CORETYPE"))
    say(std::string("OPENBLAS_CORETYPE=") + core +
        " is not used: OpenBLAS detects the processor itself");
  prepare_training_environment();
  std::fflush(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw failure(std::string("cannot start attar-train: ") + std::strerror(errno), program.string());
}

}  // namespace attar::cli
