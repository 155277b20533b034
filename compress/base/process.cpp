#include "compress/base/process.h"

#include <csignal>
#include <fstream>
#include <string>

#include "compress/base/error.h"

namespace attar {
namespace {

volatile std::sig_atomic_t signalled = 0;

void on_signal(int signal) {
  signalled = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void install_interrupt_handler() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a failed write, reported as one,
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file beyond the size limit
}

bool interrupted() { return signalled != 0; }

void check_interrupted() {
  if (interrupted())
    throw Error(ExitCode::interrupted, "interrupted", {},
                "finished stages are kept; run the same command again to go on");
}

uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

void reset_peak_rss() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace attar
