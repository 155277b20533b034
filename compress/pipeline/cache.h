// What decides whether a finished stage is still good: content hashes of everything that goes into
// it.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "compress/pipeline/manifest.h"
#include "compress/pipeline/runner.h"

namespace attar {

/// SHA-256 of files, remembered by path, size and modification time: hashing gigabytes again at
/// every run would cost more than many stages.
class FileHashes {
 public:
  /// `store` is where the memory is kept between runs; a missing or unreadable one starts empty.
  explicit FileHashes(std::filesystem::path store);

  /// bad_input when the file can't be read.
  std::string of(const std::filesystem::path& file);
  /// Over the names and contents of all `files`, in order; names are relative to `base`.
  std::string of(const std::vector<std::filesystem::path>& files,
                 const std::filesystem::path& base);
  /// Model hashes whose values were all seen to be finite.
  bool checked(const std::string& model_hash) const { return checked_.contains(model_hash); }
  void set_checked(const std::string& model_hash) { checked_.insert(model_hash); }
  void save() const;

 private:
  struct Entry {
    uint64_t size = 0;
    int64_t modified = 0;  // nanoseconds
    std::string sha256;
  };
  std::filesystem::path store_;
  std::map<std::string, Entry> entries_;
  std::set<std::string> checked_;
};

/// The files of a model directory that decide what it is: configuration, weights, tokenizer; or the
/// GGUF file.
std::vector<std::filesystem::path> model_files(const std::filesystem::path& directory);

/// How a data entry is read: every field but where it lies.
nlohmann::ordered_json describe_data(const DataSpec& data);

/// Derives manifests, without files and facts yet, for the stages of one recipe.
class CacheKeys {
 public:
  CacheKeys(const Recipe& recipe, const Toolbox& tools, FileHashes& hashes, int threads)
      : recipe_(recipe), tools_(tools), hashes_(hashes), threads_(threads) {}

  /// Of the recipe's model.
  const std::string& model_hash();
  /// Of a data entry: its files' contents and how they are read.
  const std::string& data_hash(const std::string& name);

  /// Everything that is known before the stage runs; nothing when a parent's artifact hash is not
  /// in `artifacts` (stage name -> hash) yet.
  std::optional<Manifest> draft(const StageSpec& spec,
                                const std::map<std::string, std::string>& artifacts);

 private:
  const Recipe& recipe_;
  const Toolbox& tools_;
  FileHashes& hashes_;
  int threads_;
  std::string model_hash_;
  std::map<std::string, std::string> data_hashes_;
};

/// The row of the table with this name; null when there is none.
const StageType* find_stage_type(const Toolbox& tools, std::string_view name);

/// Whether what a stage refers to is a directory and not a stage's name (StageType::references).
inline bool is_directory_reference(std::string_view name) {
  return name.find('/') != std::string_view::npos;
}

/// The stage's own seed: the first 8 bytes of SHA-256("<seed>:<name>").
uint64_t stage_seed(uint64_t recipe_seed, const std::string& stage_name);

/// The manifest of a finished artifact that `draft` would only make again: equal key, and its files
/// are those it was written with.
std::optional<Manifest> find_finished(const std::filesystem::path& directory, const Manifest& draft,
                                      FileHashes& hashes);

}  // namespace attar
