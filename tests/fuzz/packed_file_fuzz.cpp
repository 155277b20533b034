// Any bytes as a file of packed weights: refused with bad_input, or every matrix is in bounds and
// multiplies.
#include "compress/kernels/packed_file.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "compress/base/error.h"
#include "compress/base/xxh64.h"
#include "compress/kernels/matmul.h"
#include "tests/fuzz/memory_file.h"

namespace {

using attar::fuzzing::MemoryFile;

/// What the header promises about sizes and bytes, made true: a fuzzer does not guess a hash.
std::vector<uint8_t> with_true_header(const uint8_t* data, size_t size) {
  constexpr size_t kHeader = 64, kBytes = 16, kTable = 48, kCheck = 56;
  std::vector<uint8_t> file(data, data + size);
  if (size < kHeader) return file;
  const uint64_t bytes = size;
  std::memcpy(file.data() + kBytes, &bytes, sizeof bytes);
  uint64_t table = 0;
  std::memcpy(&table, file.data() + kTable, sizeof table);
  table = std::min<uint64_t>(table, size - kHeader);
  const auto all = std::as_bytes(std::span(file));
  const uint64_t check =
      attar::content_hash(all.subspan(kHeader, table), attar::content_hash(all.first(kCheck)));
  std::memcpy(file.data() + kCheck, &check, sizeof check);
  return file;
}

void use(const attar::PackedMatrix& matrix) {
  if (matrix.rows() * matrix.cols() > 1 << 16) return;
  const auto cols = static_cast<size_t>(matrix.cols()), rows = static_cast<size_t>(matrix.rows());
  std::vector<float> row(cols), x(2 * cols, 1.0f), y(2 * rows);
  for (int64_t i = 0; i < matrix.rows(); ++i) matrix.row(i, row.data());
  for (const auto activations : {attar::Activations::exact, attar::Activations::int8})
    for (const int64_t m : {1, 2}) attar::matmul(x.data(), m, matrix, y.data(), activations);
}

void read(const std::string& path) {
  try {
    const auto file = attar::PackedFile::open(path);
    file.for_names([&](const std::string& name) {
      if (!file.has(name)) std::abort();
      try {
        use(file.matrix(name));
      } catch (const attar::Error& error) {
        if (error.code() != attar::ExitCode::bad_input) std::abort();
      }
    });
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(MemoryFile(data, size).path());
  const auto fixed = with_true_header(data, size);
  read(MemoryFile(fixed.data(), fixed.size()).path());
  return 0;
}
