// The running process: interruption by Ctrl-C, peak memory.
#pragma once

#include <cstdint>

namespace attar {

/// SIGINT and SIGTERM set a flag; a second one ends the process at once.
void install_interrupt_handler();
bool interrupted();
/// Throws Error(ExitCode::interrupted) once the flag is set; call it in every long loop.
void check_interrupted();

/// Highest resident memory since the process began or since the last reset, in bytes.
uint64_t peak_rss_bytes();
void reset_peak_rss();

}  // namespace attar
