#include "compress/base/xxh64.h"

#include <bit>
#include <cstring>

namespace attar {
namespace {

constexpr uint64_t kP1 = 0x9E3779B185EBCA87, kP2 = 0xC2B2AE3D27D4EB4F, kP3 = 0x165667B19E3779F9,
                   kP4 = 0x85EBCA77C2B2AE63, kP5 = 0x27D4EB2F165667C5;

/// The next sizeof(T) bytes.
template <class T>
T take(std::span<const std::byte>& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes = bytes.subspan(sizeof value);
  return value;
}

uint64_t round(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kP2, 31) * kP1;
}

}  // namespace

uint64_t content_hash(std::span<const std::byte> bytes, uint64_t seed) {
  const uint64_t size = bytes.size();
  uint64_t hash = seed + kP5;
  if (size >= 32) {
    uint64_t lanes[] = {seed + kP1 + kP2, seed + kP2, seed, seed - kP1};
    while (bytes.size() >= 32)
      for (uint64_t& lane : lanes) lane = round(lane, take<uint64_t>(bytes));
    hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
           std::rotl(lanes[3], 18);
    for (const uint64_t lane : lanes) hash = (hash ^ round(0, lane)) * kP1 + kP4;
  }
  hash += size;
  while (bytes.size() >= 8)
    hash = std::rotl(hash ^ round(0, take<uint64_t>(bytes)), 27) * kP1 + kP4;
  if (bytes.size() >= 4) hash = std::rotl(hash ^ take<uint32_t>(bytes) * kP1, 23) * kP2 + kP3;
  while (!bytes.empty()) hash = std::rotl(hash ^ take<uint8_t>(bytes) * kP5, 11) * kP1;
  hash = (hash ^ hash >> 33) * kP2;
  hash = (hash ^ hash >> 29) * kP3;
  return hash ^ hash >> 32;
}

}  // namespace attar
