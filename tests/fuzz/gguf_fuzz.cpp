// Any bytes as a GGUF file: refused with bad_input, or every view is in bounds and decodes.
#include "compress/base/error.h"
#include "compress/formats/gguf/file.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const attar::fuzzing::MemoryFile file(data, size);
  try {
    const auto opened = attar::gguf::File::open(file.path());
    for (const auto& [key, value] : opened.metadata().entries())
      if (attar::gguf::describe(value).empty() || !opened.metadata().has(key)) std::abort();
    for (const attar::gguf::Tensor& tensor : opened.tensors()) {
      if (opened.find(tensor.name) != &tensor) std::abort();
      if (tensor.type->decode == nullptr) continue;
      if (static_cast<int64_t>(tensor.floats().size()) != tensor.count()) std::abort();
    }
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
