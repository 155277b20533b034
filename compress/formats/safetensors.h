// safetensors files: memory-mapped in, streamed out.
//
// The reader trusts nothing: header length, JSON, dtypes, shapes, offsets, overlap and file size
// are all checked when the file is opened, so that a view is always in bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/dtype.h"

namespace attar {

/// A tensor's bytes, row-major, little-endian; valid while the file it came from is open.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t count() const;  // elements
  /// Copies out as float32 (float types) or throws bad_input naming the tensor.
  std::vector<float> floats() const;
  /// Copies out as int64 (integer types) or throws bad_input.
  std::vector<int64_t> integers() const;
};

class Safetensors {
 public:
  static Safetensors open(const fs::path& path);

  const fs::path& path() const { return file_.path(); }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in file order
  const TensorView* find(std::string_view name) const;
  /// find() or bad_input with the nearest name.
  const TensorView& at(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::shared_ptr<const void> owner() const { return file_.owner(); }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

/// Writes one file in a stream. All tensors are declared first (the header comes first in the
/// file); their bytes may then be written in any order, each once. Nothing appears under `path`
/// before finish().
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
  };
  SafetensorsWriter(fs::path path, std::vector<Declaration> tensors,
                    std::map<std::string, std::string> metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// Throws failure when the disk is full; asserts that the size is the declared one.
  void write(std::string_view name, std::span<const std::byte> bytes);
  /// Rounds to the declared float type.
  void write_floats(std::string_view name, std::span<const float> values);
  /// Checks that every declared tensor was written, syncs, renames into place.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attar
