// Writes a GGUF file (version 3) in a stream: metadata and tensors are declared first, then every
// tensor's blocks are written, in any order.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compress/formats/gguf/file.h"

namespace attar::gguf {

class Writer {
 public:
  struct Declaration {
    std::string name;
    std::vector<int64_t> shape;  // [rows, cols], as in Tensor
    const TensorType* type;
  };
  /// Nothing appears under `path` before finish(). Throws failure: disk full, no permission;
  /// bad_input: a name or shape that the format cannot hold.
  Writer(const fs::path& path, const Metadata& metadata, std::vector<Declaration> tensors);
  ~Writer();

  void write(std::string_view name, std::span<const std::byte> bytes);
  /// Encodes into the declared type. `importance` [cols] or empty.
  void write_floats(std::string_view name, std::span<const float> values,
                    std::span<const float> importance = {});
  /// Checks that every declared tensor was written, syncs, renames into place.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attar::gguf
