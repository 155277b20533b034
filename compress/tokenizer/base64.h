// Base64 (RFC 4648, section 4), as tokenizer files use it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace attar {

/// Nothing for text that is none: other characters, a length that isn't a multiple of 4, stray
/// bits.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace attar
