#include "compress/formats/gguf/writer.h"

#include <fmt/core.h>

#include <cstring>
#include <type_traits>

#include "compress/base/error.h"

namespace attar::gguf {
namespace {

constexpr uint32_t kVersion = 3, kArray = 9;
constexpr size_t kLongestTensorName = 63;  // ggml keeps 64 bytes, one of them a terminating zero

/// Builds the header's bytes.
class Header {
 public:
  template <class T>
  void number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view text) {
    number(static_cast<uint64_t>(text.size()));
    text_.append(text);
  }
  void value(const Value& value) {
    std::visit([this]<class T>(const T& v) { typed(v); }, value);
  }
  void pad(uint64_t alignment) {
    text_.append((alignment - text_.size() % alignment) % alignment, '\0');
  }
  std::string& bytes() { return text_; }

 private:
  template <class T>
  static constexpr uint32_t type_of() {
    if constexpr (std::is_same_v<T, uint8_t>) return 0;
    if constexpr (std::is_same_v<T, int8_t>) return 1;
    if constexpr (std::is_same_v<T, uint16_t>) return 2;
    if constexpr (std::is_same_v<T, int16_t>) return 3;
    if constexpr (std::is_same_v<T, uint32_t>) return 4;
    if constexpr (std::is_same_v<T, int32_t>) return 5;
    if constexpr (std::is_same_v<T, float>) return 6;
    if constexpr (std::is_same_v<T, bool>) return 7;
    if constexpr (std::is_same_v<T, std::string>) return 8;
    if constexpr (std::is_same_v<T, uint64_t>) return 10;
    if constexpr (std::is_same_v<T, int64_t>) return 11;
    if constexpr (std::is_same_v<T, double>) return 12;
  }
  template <class T>
  void element(const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
      text(value);
    else
      number(value);
  }
  template <class T>
  void typed(const T& value) {
    number(type_of<T>());
    element(value);
  }
  template <class T>
  void typed(const std::vector<T>& values) {
    number(kArray);
    number(type_of<T>());
    number(static_cast<uint64_t>(values.size()));
    for (const T& value : values) element(value);
  }

  std::string text_;
};

}  // namespace

struct Writer::State {
  struct Slot {
    Declaration declaration;
    uint64_t offset = 0, bytes = 0;
    bool written = false;
  };
  std::unique_ptr<PartialFile> file;
  std::map<std::string, Slot, std::less<>> slots;

  Error error(const std::string& what, std::string_view tensor) const {
    return failure(what, fmt::format("{}: tensor {}", file->path().string(), tensor));
  }
  Slot& slot(std::string_view name) {
    const auto found = slots.find(name);
    if (found == slots.end()) throw error("a tensor is written that was not declared", name);
    return found->second;
  }
};

Writer::Writer(const fs::path& path, const Metadata& metadata, std::vector<Declaration> tensors)
    : state_(std::make_unique<State>()) {
  const auto alignment =
      static_cast<uint64_t>(metadata.integer(kAlignmentKey).value_or(kDefaultAlignment));
  Header header;
  header.bytes() = "GGUF";
  header.number(kVersion);
  header.number(static_cast<uint64_t>(tensors.size()));
  header.number(static_cast<uint64_t>(metadata.entries().size()));
  for (const auto& [key, value] : metadata.entries()) {
    header.text(key);
    header.value(value);
  }
  uint64_t offset = 0;
  for (Declaration& tensor : tensors) {
    const std::string where = fmt::format("{}: tensor {}", path.string(), tensor.name);
    if (tensor.name.size() > kLongestTensorName)
      throw bad_input(fmt::format("a GGUF tensor's name has at most {} bytes", kLongestTensorName),
                      where);
    const int64_t cols = tensor.shape.back();
    if (cols % tensor.type->block != 0)
      throw bad_input(fmt::format("{} columns are no multiple of the {} that a block of {} holds",
                                  cols, tensor.type->block, tensor.type->name),
                      where);
    header.text(tensor.name);
    header.number(static_cast<uint32_t>(tensor.shape.size()));
    int64_t rows = 1;
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      header.number(static_cast<uint64_t>(tensor.shape[i]));
      if (i + 1 < tensor.shape.size()) rows *= tensor.shape[i];
    }
    header.number(tensor.type->id);
    header.number(offset);
    const auto bytes = static_cast<uint64_t>(rows * tensor.type->row_bytes(cols));
    std::string name = tensor.name;
    if (!state_->slots.emplace(std::move(name), State::Slot{std::move(tensor), offset, bytes})
             .second)
      throw failure("a tensor is declared twice", where);
    offset += (bytes + alignment - 1) / alignment * alignment;
  }
  header.pad(alignment);
  const uint64_t begin = header.bytes().size();
  for (auto& [name, slot] : state_->slots) slot.offset += begin;
  state_->file = std::make_unique<PartialFile>(path, begin + offset);
  state_->file->write(std::as_bytes(std::span(header.bytes())), 0);
}

Writer::~Writer() = default;

void Writer::write(std::string_view name, std::span<const std::byte> bytes) {
  State::Slot& slot = state_->slot(name);
  if (bytes.size() != slot.bytes || slot.written)
    throw state_->error(slot.written ? std::string("a tensor is written twice")
                                     : fmt::format("{} bytes are written, declared were {}",
                                                   bytes.size(), slot.bytes),
                        name);
  state_->file->write(bytes, slot.offset);
  slot.written = true;
}

void Writer::write_floats(std::string_view name, std::span<const float> values,
                          std::span<const float> importance) {
  const Declaration& tensor = state_->slot(name).declaration;
  const int64_t cols = tensor.shape.back();
  write(name,
        encode(*tensor.type, values, static_cast<int64_t>(values.size()) / cols, cols, importance));
}

void Writer::finish() {
  for (const auto& [name, slot] : state_->slots)
    if (!slot.written) throw state_->error("a declared tensor was never written", name);
  state_->file->finish();
}

}  // namespace attar::gguf
