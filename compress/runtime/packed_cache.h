// A model's packed matrices kept beside it, for a start that does not pack: off unless asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/kernels/packed_file.h"

namespace attar {

/// "DIRECTORY/attar-packed.bin", "FILE.gguf.attar-packed.bin".
fs::path packed_cache_path(const fs::path& model);
/// Whether a file is named so.
bool is_packed_cache(const fs::path& file);

class PackedCache {
 public:
  /// The file beside the model, when it was made of these weights and this configuration by this
  /// version; else an empty cache, whose matrices are packed, kept and written by finish(). Why a
  /// file is not used is said on standard error. Throws bad_input: another file of that name, a
  /// damaged one, a model with an adapter. `opened` must outlive it.
  explicit PackedCache(const Model& opened);

  /// Whether the matrices come from the file, so that the model was checked when it was made.
  bool mapped() const { return file_.has_value(); }
  /// Whether the file holds the matrix.
  bool has(const std::string& name) const { return mapped() && file_->has(name); }
  /// Throws bad_input unless it is [rows, cols].
  PackedMatrix matrix(const std::string& name, int64_t rows, int64_t cols,
                      const WeightSource& weights);
  /// A matrix that was packed elsewhere.
  void keep(const std::string& name, const PackedMatrix& packed);
  /// Writes the file, unless the matrices come from it. Throws failure: no permission, disk full.
  void finish();

 private:
  const Model* opened_;
  fs::path path_;
  std::optional<PackedFile> file_;
  std::vector<NamedMatrix> packed_;  // in the order in which they are read
  std::set<std::string> names_;
};

/// nullptr unless asked for.
std::unique_ptr<PackedCache> open_packed_cache(bool wanted, const Model& opened);

}  // namespace attar
