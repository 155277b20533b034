// manifest.json: what an artifact is made of and from; written last, so its presence means
// complete.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compress/pipeline/stage.h"

namespace attar {

struct Manifest {
  std::string stage, type, attar_version;
  std::string cache_key;  // stage type + options + parents + data + seed + version
  uint64_t seed = 0;
  int threads = 0;                             // recorded for stages that train
  nlohmann::ordered_json options;              // resolved
  std::map<std::string, std::string> parents;  // name -> artifact hash
  std::map<std::string, std::string> data;     // name -> SHA-256 of the source files
  std::map<std::string, std::string> files;    // relative path -> SHA-256
  std::string report_sha256;                   // of report.json, which says how long things took
  nlohmann::ordered_json facts;                // measured: seconds, peak_rss_bytes, parameters …

  /// SHA-256 over `files`: what later stages' cache keys use.
  std::string artifact_hash() const;
};

/// Nothing when absent. bad_input when it is no manifest of attar's or not exactly as it was
/// written (it carries a SHA-256 of itself).
std::optional<Manifest> read_manifest(const std::filesystem::path& directory);
void write_manifest(const Manifest& manifest, const std::filesystem::path& directory);
/// Hashes every regular file below `directory` except manifest.json, report.json and the model
/// card.
std::map<std::string, std::string> hash_files(const std::filesystem::path& directory);

/// Throws bad_input naming the tensor with a value that is not finite. Returns what was read, for a
/// report.
std::string check_finite(const WeightSource& weights);

/// Opens a model directory as any later stage would: configuration, tensor names and shapes, every
/// value finite. Checks after the first failed one are left out.
std::vector<Check> check_model(const std::filesystem::path& directory);

/// One mismatch per line: missing, changed, or unexpected files, unreadable model, failed checks;
/// empty = fine. Throws bad_input when `directory` holds no artifact.
std::vector<std::string> verify_artifact(const std::filesystem::path& directory);

}  // namespace attar
