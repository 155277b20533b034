// Any file as a SentencePiece model: refused with an Error, or a tokenizer whose ids are in range
// and decode again.
#include "compress/tokenizer/definition.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace attar;
  const fuzzing::MemoryFile file(data, size);
  try {
    fuzzing::exercise(make_tokenizer(define_by_sentencepiece(file.path())));
  } catch (const Error&) {
  }
  return 0;
}
