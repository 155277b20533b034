// Runs a program as a user would and keeps what it printed; for tests of the commands.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace attar::testing {

struct CommandResult {
  int exit_code = -1;  // 128 + signal when killed by one
  std::string out, err;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of this test process's own, removed by whoever made it.
inline std::filesystem::path make_test_directory(const std::string& name) {
  const auto path =
      std::filesystem::temp_directory_path() / ("attar-" + name + "-" + std::to_string(::getpid()));
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

/// `arguments[0]` is the program. Runs in `directory` (empty: here).
inline CommandResult run_command(const std::vector<std::string>& arguments,
                                 const std::filesystem::path& directory = {}) {
  const auto scratch = make_test_directory("run-command");
  const auto out = scratch / "out", err = scratch / "err";
  const pid_t child = ::fork();
  if (child == 0) {
    if (!directory.empty() && ::chdir(directory.c_str()) != 0) ::_exit(127);
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CommandResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = slurp(out);
  result.err = slurp(err);
  std::filesystem::remove_all(scratch);
  return result;
}

/// The `attar` of this build.
inline CommandResult attar(std::vector<std::string> arguments,
                           const std::filesystem::path& directory = {}) {
  arguments.insert(arguments.begin(), std::string(ATTAR_BINARY_DIR) + "/attar");
  return run_command(arguments, directory);
}

/// Files that are not part of the project: real models, vocabularies, texts beside the checkout.
inline std::filesystem::path beside(const std::string& name) {
  return std::filesystem::path(ATTAR_SOURCE_DIR) / ".." / "shared" / name;
}

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(ATTAR_SOURCE_DIR) / "tests" / "golden" / name;
}

}  // namespace attar::testing

/// Skips the test, visibly, when something beside the checkout is absent.
#define ATTAR_NEEDS(path)                                                     \
  do {                                                                        \
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "absent: " << (path); \
  } while (false)
