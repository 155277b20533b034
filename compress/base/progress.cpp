#include "compress/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace attar {
namespace {

bool quiet_now = false;

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

std::string amount(double value) {
  if (value >= 1e6) return fmt::format("{:.2f}M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.1f}k", value / 1e3);
  if (value >= 100) return fmt::format("{:.0f}", value);
  return fmt::format("{:.3g}", value);
}

}  // namespace

void set_quiet(bool value) { quiet_now = value; }
bool quiet() { return quiet_now; }

void say(std::string_view line) {
  if (!quiet_now) fmt::print(stderr, "{}\n", line);
}

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)), unit_(std::move(unit)), total_(total) {}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, std::string_view note) {
  done_ = done;
  const auto now = Clock::now();
  const auto pause = ::isatty(2) ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
  if (quiet_now || (now - start_ < std::chrono::milliseconds(500)) || now - printed_ < pause)
    return;
  printed_ = now;
  print(false, note);
}

void Progress::finish() {
  if (std::exchange(finished_, true) || quiet_now || done_ == 0) return;
  print(true, {});
}

void Progress::print(bool last, std::string_view note) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = static_cast<double>(done_) / std::max(seconds, 1e-9);
  std::string line = fmt::format("{}: {}/{} {}, {}/s", label_, amount(static_cast<double>(done_)),
                                 amount(static_cast<double>(total_)), unit_, amount(rate));
  line += last ? ", took " + duration(seconds)
               : ", " + duration(static_cast<double>(total_ - done_) / std::max(rate, 1e-9)) + " left";
  if (!note.empty()) line += fmt::format(", {}", note);
  if (::isatty(2))
    fmt::print(stderr, "\r\x1b[K{}{}", line, last ? "\n" : "");
  else
    fmt::print(stderr, "{}\n", line);
  std::fflush(stderr);
}

}  // namespace attar
