#include "compress/base/hash.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

const std::string& Tokenizer::hash() const {
  std::call_once(hashed_, [&] {
    Sha256 sha;
    identify([&](std::string_view part) { sha.update(part); });
    hash_ = sha.hex();
  });
  return hash_;
}

}  // namespace attar
