// The wire format of protocol buffers (protobuf.dev, "Encoding"): a message is a row of fields,
// each a number and a value of one of four kinds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace attar {

class ProtobufReader {
 public:
  /// `where` is the file for messages, `begin` the place of `message` in it.
  ProtobufReader(std::string_view message, const std::string& where, size_t begin = 0)
      : message_(message), where_(where), begin_(begin) {}

  struct Field {
    uint64_t number = 0;
    enum class Kind { integer, fixed64, bytes, fixed32 } kind = Kind::integer;
    uint64_t integer = 0;    // also the bits of the fixed kinds
    std::string_view bytes;  // a text, or a message inside this one
    size_t at = 0;           // where the value begins in the file
  };
  /// The next field; nothing at the end. bad_input with the byte when it is damaged.
  std::optional<Field> next();

  /// A message inside this one.
  ProtobufReader inner(const Field& field) const { return {field.bytes, where_, field.at}; }
  /// The value of a field that must be of this kind.
  float real(const Field& field) const;
  bool flag(const Field& field) const { return integer(field) != 0; }
  int64_t integer(const Field& field) const;
  std::string_view bytes(const Field& field) const;

 private:
  [[noreturn]] void fail(std::string_view what, size_t at) const;
  uint64_t varint();
  uint64_t fixed(size_t size);

  std::string_view message_;
  const std::string& where_;
  size_t begin_, at_ = 0;
};

}  // namespace attar
