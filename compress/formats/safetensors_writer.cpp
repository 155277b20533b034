#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/formats/safetensors.h"

namespace attar {

struct SafetensorsWriter::State {
  struct Slot {
    Declaration declaration;
    uint64_t offset = 0, bytes = 0;  // in the file
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

SafetensorsWriter::SafetensorsWriter(fs::path path, std::vector<Declaration> tensors,
                                     std::map<std::string, std::string> metadata)
    : state_(std::make_unique<State>()) {
  // Large elements first, so that every tensor is aligned to its own element size.
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return dtype_size(a.dtype) > dtype_size(b.dtype);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  auto& members = header.get_ref<nlohmann::ordered_json::object_t&>();
  uint64_t offset = 0;
  for (const Declaration& tensor : tensors) {
    const uint64_t bytes =
        static_cast<uint64_t>(element_count(tensor.shape)) * dtype_size(tensor.dtype);
    if (!state_->slots.emplace(tensor.name, State::Slot{tensor, offset, bytes}).second)
      throw failure("a tensor is declared twice",
                    fmt::format("{}: tensor {}", path.string(), tensor.name));
    nlohmann::ordered_json entry;
    entry["dtype"] = dtype_name(tensor.dtype);
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {offset, offset + bytes};
    members.emplace_back(tensor.name, std::move(entry));  // operator[] would search linearly
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size(), data_begin = sizeof length + length;
  for (auto& [name, slot] : state_->slots) slot.offset += data_begin;

  state_->file = std::make_unique<PartialFile>(std::move(path), data_begin + offset);
  state_->file->write(std::as_bytes(std::span(&length, 1)), 0);
  state_->file->write(std::as_bytes(std::span(text)), sizeof length);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  State::Slot& slot = state_->slot(name);
  if (bytes.size() != slot.bytes || slot.written)
    throw state_->error(slot.written
                            ? std::string("a tensor is written twice")
                            : fmt::format("a tensor is written with {} bytes, declared were {}",
                                          bytes.size(), slot.bytes),
                        name);
  state_->file->write(bytes, slot.offset);
  slot.written = true;
}

void SafetensorsWriter::write_floats(std::string_view name, std::span<const float> values) {
  const DType dtype = state_->slot(name).declaration.dtype;
  if (dtype == DType::f32) return write(name, std::as_bytes(values));
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  from_float32(values, dtype, bytes);
  write(name, bytes);
}

void SafetensorsWriter::finish() {
  for (const auto& [name, slot] : state_->slots)
    if (!slot.written) throw state_->error("a declared tensor was never written", name);
  state_->file->finish();
}

}  // namespace attar
