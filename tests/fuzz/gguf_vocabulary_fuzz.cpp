// The vocabulary of any GGUF file: refused with an Error, or a tokenizer whose ids are in range and
// decode again.
#include "compress/formats/gguf/file.h"
#include "compress/tokenizer/gguf_vocabulary.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace attar;
  const fuzzing::MemoryFile file(data, size);
  try {
    const auto gguf = gguf::File::open(file.path());
    fuzzing::exercise(make_gguf_tokenizer(read_gguf_vocabulary(gguf.metadata())));
  } catch (const Error&) {
  }
  return 0;
}
