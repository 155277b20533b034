#include "compress/tokenizer/protobuf.h"

#include <fmt/core.h>

#include <bit>
#include <cstring>

#include "compress/base/error.h"

namespace attar {

void ProtobufReader::fail(std::string_view what, size_t at) const {
  throw bad_input(fmt::format("damaged: {}", what), fmt::format("{}: byte {}", where_, at));
}

uint64_t ProtobufReader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at_ >= message_.size()) fail("it ends inside a number", begin_ + at_);
    const auto byte = static_cast<unsigned char>(message_[at_++]);
    if (shift == 63 && byte > 1) break;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail("a number of more than 64 bits", begin_ + at_);
}

uint64_t ProtobufReader::fixed(size_t size) {
  if (message_.size() - at_ < size) fail("it ends inside a number", begin_ + at_);
  uint64_t value = 0;  // little-endian, as this machine is
  std::memcpy(&value, message_.data() + at_, size);
  at_ += size;
  return value;
}

std::optional<ProtobufReader::Field> ProtobufReader::next() {
  if (at_ >= message_.size()) return {};
  const size_t start = begin_ + at_;
  const uint64_t tag = varint();
  Field field;
  field.number = tag >> 3;
  field.at = begin_ + at_;
  if (field.number == 0) fail("a field without a number", start);
  switch (tag & 7) {
    case 0:
      field.kind = Field::Kind::integer;
      field.integer = varint();
      return field;
    case 1:
      field.kind = Field::Kind::fixed64;
      field.integer = fixed(8);
      return field;
    case 2: {
      field.kind = Field::Kind::bytes;
      const uint64_t size = varint();
      if (size > message_.size() - at_) fail("it ends inside a field", start);
      field.at = begin_ + at_;
      field.bytes = message_.substr(at_, static_cast<size_t>(size));
      at_ += static_cast<size_t>(size);
      return field;
    }
    case 5:
      field.kind = Field::Kind::fixed32;
      field.integer = fixed(4);
      return field;
    default:
      fail(fmt::format("a field of the kind {}", tag & 7), start);
  }
}

float ProtobufReader::real(const Field& field) const {
  if (field.kind != Field::Kind::fixed32)
    fail(fmt::format("field {} is no float", field.number), field.at);
  return std::bit_cast<float>(static_cast<uint32_t>(field.integer));
}

int64_t ProtobufReader::integer(const Field& field) const {
  if (field.kind != Field::Kind::integer)
    fail(fmt::format("field {} is no integer", field.number), field.at);
  return static_cast<int64_t>(field.integer);
}

std::string_view ProtobufReader::bytes(const Field& field) const {
  if (field.kind != Field::Kind::bytes)
    fail(fmt::format("field {} is neither text nor message", field.number), field.at);
  return field.bytes;
}

}  // namespace attar
