// The safetensors file or shards of a model directory, as one set of named tensors.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compress/formats/safetensors.h"

namespace attar {

class Checkpoint {
 public:
  /// Opens `directory`/model.safetensors or the shards that model.safetensors.index.json names,
  /// which must agree with it. Throws bad_input: no weights, a shard missing or truncated, index
  /// and shards contradict.
  static Checkpoint open(const fs::path& directory);

  /// In file order, shard after shard.
  const std::vector<const TensorView*>& tensors() const { return tensors_; }
  const TensorView* find(std::string_view name) const;
  /// find() or bad_input with the nearest name.
  const TensorView& at(std::string_view name) const;
  /// Keeps the bytes of `tensor` alive.
  std::shared_ptr<const void> owner(const TensorView& tensor) const;
  uint64_t file_bytes() const { return file_bytes_; }
  std::vector<MappedFile> files() const;
  /// "path/model-00001-of-00002.safetensors: tensor NAME", for messages.
  std::string place(const TensorView& tensor) const;

 private:
  void add(const fs::path& file);
  void read_index(const fs::path& index);

  std::vector<std::shared_ptr<const Safetensors>> files_;
  std::vector<const TensorView*> tensors_;
  std::map<std::string_view, std::pair<const TensorView*, size_t>> by_name_;  // and its file
  uint64_t file_bytes_ = 0;
  fs::path directory_;
};

}  // namespace attar
