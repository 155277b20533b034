// Files: read-only memory maps, writes that appear whole or not at all, staged directories.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace attar {

namespace fs = std::filesystem;

/// What the system said about a file when it was opened.
struct FileStamp {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // contents; contents or attributes
  int64_t seen_ns = 0;                      // when it said so

  /// The same file, and not written in between.
  bool same_file(const FileStamp& other) const {
    return device == other.device && inode == other.inode && size == other.size &&
           modified_ns == other.modified_ns && changed_ns == other.changed_ns;
  }
};

/// A file mapped read-only. Copies share the mapping; spans stay valid while any copy lives.
class MappedFile {
 public:
  /// Throws bad_input when the file is missing, unreadable, or not a regular file.
  static MappedFile open(const fs::path& path);

  const fs::path& path() const { return path_; }
  const FileStamp& stamp() const { return stamp_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  /// Keeps the mapping alive for whoever holds spans into it.
  std::shared_ptr<const void> owner() const { return mapping_; }

 private:
  fs::path path_;
  FileStamp stamp_;
  std::shared_ptr<const void> mapping_;
  std::span<const std::byte> bytes_;
};

/// The whole file as text; bad_input when it can't be read.
std::string read_text(const fs::path& path);

/// Writes to a temporary sibling, syncs it and renames it over `path`, so that readers see the old
/// file or the new one. Throws failure (disk full, no permission) with the path and the system's
/// reason.
void write_file(const fs::path& path, std::string_view content);

/// A file of known size that is written at offsets in any order, and appears under its name only
/// when finished. Destroyed before, it leaves nothing.
class PartialFile {
 public:
  /// Reserves the space. Throws failure: disk full, no permission.
  PartialFile(fs::path path, uint64_t size);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const fs::path& path() const { return path_; }
  /// Throws failure when the disk is full.
  void write(std::span<const std::byte> bytes, uint64_t offset);
  /// Syncs and renames into place.
  void finish();

 private:
  fs::path path_, temporary_;
  int fd_ = -1;
  bool finished_ = false;
};

/// A directory under construction beside its final place (`.partial-<name>`). commit() puts it in
/// place in one rename; destroyed without commit, it is removed. An existing directory of the final
/// name is replaced only by commit(), and only if `replace` was given.
class StagedDirectory {
 public:
  /// Throws bad_input when the parent can't be created or written.
  explicit StagedDirectory(fs::path final_path, bool replace = false);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  const fs::path& path() const { return staging_; }
  void commit();

 private:
  fs::path final_, staging_;
  bool replace_, committed_ = false;
};

/// Sum of the sizes of all regular files below `path` (or of the file itself).
uint64_t bytes_on_disk(const fs::path& path);

/// The directory of the running executable.
fs::path executable_directory();

}  // namespace attar
