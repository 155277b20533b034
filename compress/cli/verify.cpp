// attar verify: re-hashes and re-reads what a run made.
#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/cli/command.h"
#include "compress/pipeline/manifest.h"

namespace attar::cli {
namespace {

/// The directory itself when it is an artifact, else the artifacts in it, by name.
std::vector<fs::path> artifacts(const fs::path& directory) {
  std::vector<fs::path> found;
  if (!fs::is_directory(directory)) throw bad_input("no such directory", directory.string());
  if (fs::exists(directory / "manifest.json")) return {directory};
  for (const auto& entry : fs::directory_iterator(directory))
    if (fs::exists(entry.path() / "manifest.json")) found.push_back(entry.path());
  if (found.empty())
    throw bad_input("no artifact here: no manifest.json in it or one level below",
                    directory.string(),
                    "give a run directory or the directory of one of its stages");
  std::sort(found.begin(), found.end());
  return found;
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string path;
  options.add_options()("directory", po::value(&path)->required(), "run directory or artifact");
  po::positional_options_description positional;
  positional.add("directory", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;

  auto json = nlohmann::ordered_json::object();
  bool all_fine = true;
  for (const auto& artifact : artifacts(path)) {
    const auto mismatches = verify_artifact(artifact);
    all_fine = all_fine && mismatches.empty();
    const std::string name = fs::canonical(artifact).filename();
    json[name] = mismatches;
    if (parsed.json) continue;
    fmt::print("{}: {}\n", name, mismatches.empty() ? "verified" : "FAILED");
    for (const auto& line : mismatches) fmt::print("  {}\n", line);
  }
  if (parsed.json) fmt::print("{}\n", json.dump(2));
  return static_cast<int>(all_fine ? ExitCode::ok : ExitCode::gate);
}

}  // namespace

Command verify_command() {
  return {"verify", "DIR", "re-hashes, re-reads and re-checks an artifact or a whole run",
          "attar verify runs/stories-student\n"
          "attar verify runs/stories-student/int4 --json",
          run};
}

}  // namespace attar::cli
