#include "compress/pipeline/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/pipeline/manifest.h"

namespace attar {
namespace {

fs::path nearest_existing(fs::path path) {
  std::error_code ignored;
  while (!fs::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

/// The recipe's name in an earlier run's recipe.yaml; "" when it is none of attar's.
std::string earlier_name(const fs::path& file) {
  Problems problems;
  const Node root = Node::parse(read_text(file), file.string(), problems);
  if (!problems.empty() || !root["attar"].defined()) return "";
  return root["name"].text().value_or("");
}

void check_top(const Recipe& recipe) {
  const std::string hint = "choose another place with --output";
  const fs::path recipe_file = recipe.output / "recipe.yaml";
  if (fs::exists(recipe_file)) {
    const std::string name = earlier_name(recipe_file);
    if (name.empty())
      throw bad_input("the output directory holds a recipe.yaml that is no run's", recipe_file,
                      hint);
    if (name != recipe.name)
      throw bad_input("the output directory belongs to recipe '" + name + "', this one is '" +
                          recipe.name + "'",
                      recipe.output.string(), hint);
    return;
  }
  for (const char* name : {"report.json", "report.md", "report.html"})
    if (fs::exists(recipe.output / name))
      throw bad_input("the output directory holds a " + std::string(name) + " that is no run's",
                      recipe.output.string(), hint);
}

}  // namespace

void check_output(const Recipe& recipe) {
  const fs::path base = nearest_existing(recipe.output);
  const std::string hint = "choose another place with --output, or fix its permissions";
  if (!fs::is_directory(base))
    throw bad_input("the output directory can't be made: a file is in the way", base.string(),
                    hint);
  if (::access(base.c_str(), W_OK | X_OK) != 0)
    throw bad_input("cannot write the output directory: " + std::string(std::strerror(errno)),
                    recipe.output.string(), hint);
  if (base != recipe.output) return;
  check_top(recipe);
  for (const auto& stage : recipe.stages) {
    const fs::path directory = recipe.output / stage.name;
    if (fs::exists(directory) && !read_manifest(directory))
      throw bad_input("stage '" + stage.name + "' would replace what attar did not make",
                      directory.string(),
                      "move it away, rename the stage, or choose another --output");
  }
}

uint64_t free_disk_bytes(const fs::path& path) {
  struct statvfs status {};
  const fs::path base = nearest_existing(path);
  if (::statvfs(base.c_str(), &status) != 0)
    throw failure("cannot ask for free disk space: " + std::string(std::strerror(errno)),
                  base.string());
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

RunDirectory::RunDirectory(const Recipe& recipe) : path_(recipe.output) {
  std::error_code code;
  created_ = !fs::exists(path_);
  fs::create_directories(path_, code);
  const fs::path lock = path_ / ".lock";
  if (!code) lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (code || lock_ < 0)
    throw bad_input(
        "cannot write the output directory: " + (code ? code.message() : std::strerror(errno)),
        path_.string(), "choose another place with --output, or fix its permissions");
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw bad_input("another run is working on this output directory", path_.string(),
                    "wait for it, or choose another place with --output");
  }
  for (const auto& stage : recipe.stages) {
    const fs::path aside = path_ / (".replaced-" + stage.name);
    if (fs::exists(aside) && !fs::exists(path_ / stage.name)) fs::rename(aside, path_ / stage.name);
  }
}

RunDirectory::~RunDirectory() {
  ::close(lock_);
}

fs::path RunDirectory::scratch(const std::string& stage, const std::string& key) {
  const fs::path mine = path_ / ".scratch" / (stage + "-" + key.substr(0, 16));
  fs::create_directories(mine);
  for (const auto& entry : fs::directory_iterator(mine.parent_path())) {
    const std::string name = entry.path().filename();
    if (entry.path() != mine && name.starts_with(stage + "-") && name.size() == stage.size() + 17)
      fs::remove_all(entry.path());
  }
  return mine;
}

void RunDirectory::undo() {
  if (!created_) return;
  std::error_code ignored;
  for (const char* name : {".scratch", ".cache", "recipe.yaml", ".lock"})
    fs::remove_all(path_ / name, ignored);
  fs::remove(path_, ignored);  // only when empty
}

}  // namespace attar
