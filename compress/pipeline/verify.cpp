// Reading an artifact back: the same checks right after a stage and by `attar verify`.
#include <fmt/format.h>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/pipeline/manifest.h"

namespace attar {
namespace {

/// Runs `body`, which returns what it found; an Error becomes a failed check.
template <class Body>
bool check(std::vector<Check>& checks, const std::string& name, Body body) {
  Check result{name, true, {}};
  try {
    result.detail = body();
  } catch (const Error& e) {
    if (e.code() == ExitCode::interrupted) throw;
    result.passed = false;
    result.detail = e.what() + (e.where().empty() ? std::string() : " (" + e.where() + ")");
  }
  checks.push_back(std::move(result));
  return checks.back().passed;
}

}  // namespace

std::string check_finite(const WeightSource& weights) {
  int64_t values = 0;
  for (const auto& info : weights.list()) {
    check_interrupted();
    const auto floats = weights.floats(info.name);
    require_finite(info.name, floats);
    values += static_cast<int64_t>(floats.size());
  }
  return fmt::format("{} values in {} tensors", values, weights.list().size());
}

std::vector<Check> check_model(const fs::path& directory) {
  std::vector<Check> checks;
  ModelDirectory files;
  Model model;
  const bool opened = check(checks, "opens", [&] {
    files = ModelDirectory::open(directory);
    return fmt::format("{} tensors, {} bytes", files.weights->list().size(), files.weight_bytes);
  });
  const bool described =
      opened && check(checks, "configuration", [&] {
        const auto spec = read_model_spec(files.config, (directory / "config.json").string());
        return fmt::format("{}, {} parameters", spec.architecture, spec.parameters());
      });
  const bool shaped = described && check(checks, "tensor names and shapes", [&] {
                        model = open_model(files);
                        return std::string("as config.json says");
                      });
  if (shaped) check(checks, "finite values", [&] { return check_finite(*model.weights); });
  return checks;
}

std::vector<std::string> verify_artifact(const fs::path& directory) {
  std::optional<Manifest> manifest;
  try {
    manifest = read_manifest(directory);
  } catch (const Error& e) {
    return {std::string("manifest.json: ") + e.what()};
  }
  if (!manifest)
    throw bad_input("no artifact here: there is no manifest.json", directory.string(),
                    "give a run directory or the directory of one of its stages");

  std::vector<std::string> mismatches;
  const auto found = hash_files(directory);
  for (const auto& [name, digest] : manifest->files) {
    const auto file = found.find(name);
    if (file == found.end())
      mismatches.push_back(name + ": missing");
    else if (file->second != digest)
      mismatches.push_back(
          fmt::format("{}: changed (sha256 {}, was {})", name, file->second, digest));
  }
  for (const auto& [name, digest] : found)
    if (!manifest->files.contains(name)) mismatches.push_back(name + ": not part of the artifact");
  const fs::path report = directory / "report.json";
  if (!fs::exists(report))
    mismatches.push_back("report.json: missing");
  else if (sha256_file(report) != manifest->report_sha256)
    mismatches.push_back("report.json: changed");

  if (fs::exists(directory / "model"))
    for (const auto& result : check_model(directory / "model"))
      if (!result.passed) mismatches.push_back("model: " + result.name + ": " + result.detail);
  return mismatches;
}

}  // namespace attar
