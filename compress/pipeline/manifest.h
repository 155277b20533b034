// manifest.json: what an artifact is made of and from; written last, so its presence means complete.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace attar {

struct Manifest {
  std::string stage, type, attar_version;
  std::string cache_key;                        // stage type + options + parents + data + seed + version
  uint64_t seed = 0;
  int threads = 0;                              // recorded for stages that train
  nlohmann::ordered_json options;               // resolved
  std::map<std::string, std::string> parents;   // name -> artifact hash
  std::map<std::string, std::string> data;      // name -> SHA-256 of the source files
  std::map<std::string, std::string> files;     // relative path -> SHA-256
  nlohmann::ordered_json facts;                 // measured: seconds, peak_rss_bytes, parameters …

  /// SHA-256 over `files`: what later stages' cache keys use.
  std::string artifact_hash() const;
};

std::optional<Manifest> read_manifest(const std::filesystem::path& directory);  // nothing when absent
void write_manifest(const Manifest& manifest, const std::filesystem::path& directory);
/// Hashes every regular file below `directory` except manifest.json and report.json.
std::map<std::string, std::string> hash_files(const std::filesystem::path& directory);

/// One mismatch per line: missing, changed, or unexpected files, unreadable model, failed checks; empty = fine.
std::vector<std::string> verify_artifact(const std::filesystem::path& directory);

}  // namespace attar
