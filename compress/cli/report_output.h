// What commands share that write a report of their own.
#pragma once

#include <filesystem>
#include <string>

namespace attar::cli {

/// This process's command line, quoted so that a shell takes it again.
std::string command_line();

/// Creates the directory. bad_input when it can't be written or belongs to a run, whose report
/// stays.
void prepare_report_directory(const std::filesystem::path& directory);

}  // namespace attar::cli
