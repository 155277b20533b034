// What every tokenizer must hold to, whatever file it came from.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "compress/base/error.h"
#include "compress/tokenizer/tokenizer.h"
#include "compress/tokenizer/unicode.h"

namespace attar::fuzzing {

/// Ids are in range and decode again to well-formed text; aborts otherwise.
inline void exercise(const std::shared_ptr<const Tokenizer>& tokenizer) {
  for (const std::string text :
       {"", " ", "Hello  world, it's 123 \n\n\té🦙", "<s>x</s> [MASK]", "aaaa", "▁▁ ﬁ①"}) {
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
}

}  // namespace attar::fuzzing
