// Progress and messages on standard error; results go to standard output, elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace attar {

/// With quiet, only errors reach standard error.
void set_quiet(bool quiet);
bool quiet();

/// One line of information.
void say(std::string_view line);

/// A running task with a known amount of work: prints rate and time left, on one rewritten line at a
/// terminal, as a line now and then elsewhere.
class Progress {
 public:
  /// `unit` is what is counted: "tokens", "windows", "blocks".
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  /// `done` so far, with an optional note ("loss 2.31").
  void update(int64_t done, std::string_view note = {});
  /// Prints the closing line; the destructor does it otherwise.
  void finish();

 private:
  void print(bool last, std::string_view note);

  using Clock = std::chrono::steady_clock;
  std::string label_, unit_;
  int64_t total_, done_ = 0;
  Clock::time_point start_ = Clock::now(), printed_{};
  bool finished_ = false;
};

}  // namespace attar
