// Packed matrices in a file that is mapped instead of read: pages come from the disk as they are
// needed and are shared by all processes that have it open.
//
//   header (64 bytes), then for every matrix a record and its two names, then zeros up to a cache
//   line, the parts of every matrix in order, each from a cache line on, and a page of zeros, so
//   that reads past the last part's end stay inside.
//
// It is a cache and no format to exchange: numbers stand in this machine's byte order, and files of
// another kPackedFileVersion or kPackedLayoutVersion are made again.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "compress/base/files.h"
#include "compress/kernels/packed_matrix.h"

namespace attar {

inline constexpr uint32_t kPackedFileVersion = 1;
/// Goes up with every change of what PackedMatrix::pack() makes of a model's tensors.
inline constexpr uint32_t kPackedLayoutVersion = 2;

/// What the matrices were packed from, as whoever has the file written sees it.
struct PackedSource {
  uint64_t identity = 0, content = 0;
};

using NamedMatrix = std::pair<std::string, PackedMatrix>;

class PackedFile {
 public:
  /// Throws bad_input: no file of this kind, or a damaged one. One of other versions opens, holds
  /// nothing and is not current().
  static PackedFile open(const fs::path& path);

  bool current() const { return current_; }
  const PackedSource& source() const { return source_; }
  const fs::path& path() const { return file_.path(); }

  bool has(std::string_view name) const { return entries_.contains(name); }
  /// Reads its scales, zeros and floats once to check them. Throws bad_input: none of that name,
  /// values that pack() would not have written.
  PackedMatrix matrix(std::string_view name) const;
  /// In the order of the names.
  template <class F>
  void for_names(F f) const {
    for (const auto& [name, matrix] : entries_) f(name);
  }

  /// The file appears when complete. Throws failure: no permission, disk full.
  static void write(const fs::path& path, const PackedSource& source,
                    std::span<const NamedMatrix> matrices);

 private:
  void read_table(std::span<const std::byte> table, uint64_t count);

  MappedFile file_;
  bool current_ = false;
  PackedSource source_;
  std::map<std::string, PackedMatrix, std::less<>> entries_;
};

}  // namespace attar
