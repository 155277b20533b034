#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "compress/base/error.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

constexpr const char* kDiskHint = "check free space (df) and the permissions of the directory";

Error system_failure(const char* what, int code, const fs::path& path) {
  return failure(fmt::format("{}: {}", what, std::strerror(code)), path.string(), kDiskHint);
}

}  // namespace

struct SafetensorsWriter::State {
  struct Slot {
    Declaration declaration;
    uint64_t offset = 0, bytes = 0;  // in the file
    bool written = false;
  };

  fs::path path, temporary;
  int fd = -1;
  bool finished = false;
  std::map<std::string, Slot, std::less<>> slots;

  ~State() {
    if (fd >= 0) ::close(fd);
    std::error_code ignored;
    if (!finished) fs::remove(temporary, ignored);
  }

  Slot& slot(std::string_view name) {
    const auto found = slots.find(name);
    if (found == slots.end())
      throw failure("a tensor is written that was not declared",
                    fmt::format("{}: tensor {}", path.string(), name));
    return found->second;
  }

  void put(std::span<const std::byte> bytes, uint64_t offset) const {
    while (!bytes.empty()) {
      const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw system_failure("cannot write file", errno, path);
      bytes = bytes.subspan(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
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
    const int64_t count =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
    const uint64_t bytes = static_cast<uint64_t>(count) * dtype_size(tensor.dtype);
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

  state_->path = std::move(path);
  state_->temporary = state_->path;
  state_->temporary += fmt::format(".partial-{}", ::getpid());
  state_->fd = ::open(state_->temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (state_->fd < 0) throw system_failure("cannot create file", errno, state_->path);
  const uint64_t total = data_begin + offset;
  if (const int code = ::posix_fallocate(state_->fd, 0, static_cast<off_t>(total)); code != 0)
    throw system_failure(fmt::format("cannot reserve {} bytes", total).c_str(), code, state_->path);
  state_->put(std::as_bytes(std::span(&length, 1)), 0);
  state_->put(std::as_bytes(std::span(text)), sizeof length);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  State::Slot& slot = state_->slot(name);
  if (bytes.size() != slot.bytes || slot.written)
    throw failure(slot.written ? std::string("a tensor is written twice")
                               : fmt::format("a tensor is written with {} bytes, declared were {}",
                                             bytes.size(), slot.bytes),
                  fmt::format("{}: tensor {}", state_->path.string(), name));
  state_->put(bytes, slot.offset);
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
    if (!slot.written)
      throw failure("a declared tensor was never written",
                    fmt::format("{}: tensor {}", state_->path.string(), name));
  if (::fsync(state_->fd) != 0) throw system_failure("cannot write file", errno, state_->path);
  if (::rename(state_->temporary.c_str(), state_->path.c_str()) != 0)
    throw system_failure("cannot put file in place", errno, state_->path);
  state_->finished = true;
}

}  // namespace attar
