// What commands share that read reports or write one of their own.
#pragma once

#include <filesystem>
#include <string>

#include "compress/pipeline/report.h"

namespace attar::cli {

/// This process's command line, quoted so that a shell takes it again.
std::string command_line();

/// bad_input when the directory can't be made or written, or belongs to a run, whose report stays.
/// Writes nothing.
void check_report_directory(const std::filesystem::path& directory);

/// The report of a run's directory, or a report.json itself. bad_input when it is none.
RunReport read_report(const std::filesystem::path& path);

}  // namespace attar::cli
