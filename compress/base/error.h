// Errors that reach a user: what is wrong, where, and what to do about it.
//
// Programmer errors are assertions; everything a user, a file or a machine can cause is an Error.
#pragma once

#include <stdexcept>
#include <string>

namespace attar {

/// The process exit codes of the command line.
enum class ExitCode : int { ok = 0, failed = 1, bad_input = 2, gate = 3, interrupted = 130 };

class Error : public std::runtime_error {
 public:
  /// `where` is a place a user can open or search for ("recipe.yaml:12: stages.slim.keep",
  /// "model.safetensors: tensor lm_head.weight", "byte 4096"); `hint` is what to do next.
  Error(ExitCode code, const std::string& what, std::string where = {}, std::string hint = {});

  ExitCode code() const noexcept { return code_; }
  const std::string& where() const noexcept { return where_; }
  const std::string& hint() const noexcept { return hint_; }

  /// The block that the command prints: `error: …`, `  where: …`, `  hint: …`.
  std::string block() const;

 private:
  ExitCode code_;
  std::string where_, hint_;
};

/// Wrong usage, recipe or input: nothing was started, nothing was written (exit 2).
Error bad_input(const std::string& what, std::string where = {}, std::string hint = {});
/// It failed while working (exit 1).
Error failure(const std::string& what, std::string where = {}, std::string hint = {});

}  // namespace attar
