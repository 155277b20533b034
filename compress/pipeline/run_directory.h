// The directory that a run writes: checked before anything is written, locked while it is used.
//
//   <output>/recipe.yaml, report.{json,md,html}   the run
//   <output>/<stage>/                             artifacts
//   <output>/.cache, .scratch, .lock              hashes and evaluation rows; checkpoints; one run
//   at a time
#pragma once

#include <filesystem>

#include "compress/recipe/recipe.h"

namespace attar {

/// bad_input when `recipe` can't or must not write to its output: no permission, a file in the way,
/// another recipe's run, a directory of a stage's name that is no artifact. Writes nothing.
void check_output(const Recipe& recipe);

/// Free bytes on the file system that will hold `path` (which need not exist yet).
uint64_t free_disk_bytes(const std::filesystem::path& path);

class RunDirectory {
 public:
  /// Creates the directory, takes its lock, puts back what an interrupted replacement left aside.
  /// bad_input when another process holds the lock.
  explicit RunDirectory(const Recipe& recipe);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// <output>/.scratch/<stage>-<key prefix>, created; those of the stage's other keys are removed.
  std::filesystem::path scratch(const std::string& stage, const std::string& key);
  /// Removes what this object created, if nothing else came to be there.
  void undo();

 private:
  std::filesystem::path path_;
  int lock_ = -1;
  bool created_ = false;
};

}  // namespace attar
