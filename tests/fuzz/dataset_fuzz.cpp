// Any file as data in each text format: refused with an Error, or documents of valid UTF-8.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "compress/base/error.h"
#include "compress/data/dataset.h"
#include "compress/tokenizer/unicode.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace attar;
  const fuzzing::MemoryFile file(data, size);
  for (const char* format : {"text", "jsonl", "csv", "tsv"}) {
    for (const char* split : {"", "---"}) {
      DataSpec spec;
      spec.path = file.path();
      spec.format = format;
      spec.split = split;
      try {
        for (const auto& document : load_documents(spec))
          if (find_invalid_utf8(document)) std::abort();
      } catch (const Error&) {
      }
    }
  }
  return 0;
}
