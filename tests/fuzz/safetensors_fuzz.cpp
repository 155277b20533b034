// Any bytes as a safetensors file: refused with bad_input, or every view is in bounds.
#include "compress/formats/safetensors.h"

#include "compress/base/error.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const attar::fuzzing::MemoryFile file(data, size);
  try {
    const auto opened = attar::Safetensors::open(file.path());
    for (const attar::TensorView& tensor : opened.tensors()) {
      if (tensor.bytes.size() !=
          static_cast<size_t>(tensor.count()) * attar::dtype_size(tensor.dtype))
        std::abort();
      if (opened.find(tensor.name) != &tensor) std::abort();
      if (attar::is_float(tensor.dtype))
        (void)tensor.floats();
      else
        (void)tensor.integers();
    }
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
