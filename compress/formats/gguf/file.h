// GGUF files (ggml-org/ggml, docs/gguf.md; versions 2 and 3, little-endian): memory-mapped in.
//
// The reader trusts nothing: counts, lengths, types, dimensions, offsets, alignment and overlap are
// checked when the file is opened, so that every view is in bounds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/gguf/metadata.h"
#include "compress/formats/gguf/tensor_types.h"

namespace attar::gguf {

constexpr const char* kAlignmentKey = "general.alignment";
constexpr int64_t kDefaultAlignment = 32;

/// A tensor's blocks; valid while the file is open.
struct Tensor {
  std::string name;            // "blk.0.attn_q.weight"
  std::vector<int64_t> shape;  // [rows, cols]: the last dimension is contiguous (GGUF: the first)
  const TensorType* type = nullptr;
  std::span<const std::byte> bytes;

  int64_t count() const;  // weights
  int64_t cols() const { return shape.back(); }
  /// Throws bad_input when the type is one that is known by size only.
  std::vector<float> floats() const;
};

class File {
 public:
  /// Throws bad_input: no GGUF file, version 1, big-endian, truncated, damaged, a tensor type that
  /// is unknown.
  static File open(const fs::path& path);

  const fs::path& path() const { return file_.path(); }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_.bytes().size(); }
  const Metadata& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }  // in file order
  const Tensor* find(std::string_view name) const;
  /// find() or bad_input with the nearest name.
  const Tensor& at(std::string_view name) const;
  /// "model.gguf: tensor NAME", for messages.
  std::string place(const Tensor& tensor) const;
  std::shared_ptr<const void> owner() const { return file_.owner(); }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  uint32_t version_ = 0;
  Metadata metadata_;
  std::vector<Tensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

/// True when the file begins as a GGUF file does.
bool is_gguf(const fs::path& path);
/// The GGUF file that a path to a model means: the file itself, or the only one that ends in .gguf
/// in a directory without config.json. Nothing otherwise.
std::optional<fs::path> find_model_file(const fs::path& path);

/// What a model that was made from a GGUF file has as its tokenizer: a file with nothing else in
/// it.
constexpr const char* kVocabularyFile = "tokenizer.gguf";
/// The GGUF file with the tokenizer that a path to a model means: find_model_file(), or the one
/// above in a directory. Nothing otherwise.
std::optional<fs::path> find_vocabulary_file(const fs::path& path);

}  // namespace attar::gguf
