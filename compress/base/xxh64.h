// A fast hash of bytes (XXH64, github.com/Cyan4973/xxHash, doc/xxhash_spec.md): tells files that
// changed from those that did not at the speed of memory. It is no seal: who wants to can make two
// contents with one hash (see hash.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace attar {

uint64_t content_hash(std::span<const std::byte> bytes, uint64_t seed = 0);

}  // namespace attar
