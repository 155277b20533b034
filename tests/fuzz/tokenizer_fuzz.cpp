// Any file as tokenizer.json: refused with an Error, or a tokenizer whose ids are in range and
// decode again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "compress/base/error.h"
#include "compress/tokenizer/tokenizer.h"
#include "compress/tokenizer/unicode.h"
#include "tests/fuzz/memory_file.h"

namespace {

constexpr const char* kTexts[] = {"", " ", "Hello  world, it's 123 \n\n\té🦙", "<s>x</s> [MASK]",
                                  "aaaa"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace attar;
  const fuzzing::MemoryFile file(data, size);
  std::shared_ptr<const Tokenizer> tokenizer;
  try {
    tokenizer = Tokenizer::load(file.path());
  } catch (const Error&) {
    return 0;
  }
  for (const std::string text : kTexts) {
    try {
      const auto ids = tokenizer->encode(text);
      for (const int32_t id : ids)
        if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
      if (find_invalid_utf8(tokenizer->decode(ids))) std::abort();
      StreamDecoder stream(tokenizer, false);
      for (const int32_t id : ids) stream.push(id);
      stream.finish();
    } catch (const Error&) {  // a text that this vocabulary can't spell
    }
  }
  return 0;
}
