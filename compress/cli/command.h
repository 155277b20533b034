// Subcommands of `attar`: one file each, one row each in the table of main.cpp.
#pragma once

#include <boost/program_options.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/pipeline/runner.h"
#include "compress/pipeline/stage.h"

namespace attar::cli {

namespace po = boost::program_options;

struct Command {
  std::string_view name;
  std::string_view synopsis;  // "MODEL --prompt TEXT [options]"
  std::string_view summary;   // one line
  std::string_view examples;  // shown under --help, one a line
  int (*run)(const Command& self, const std::vector<std::string>& args);  // args after the name
};

/// A parsed command line. The global options (--help, --threads, --quiet, --json) are already
/// applied.
struct Parsed {
  po::variables_map values;
  bool help_shown = false;  // --help was asked for and printed: return 0
  bool json = false;
};

/// Adds the global options, parses, checks. Unknown options are bad_input with the nearest known
/// one.
Parsed parse(const Command& command, const std::vector<std::string>& args,
             po::options_description options, const po::positional_options_description& positional);

/// The rows, in the order of `attar --help`.
std::span<const Command> commands();

/// All stage types, metrics and the evaluation function: what areas offer (stage_table.cpp).
const Toolbox& toolbox();

// One function per file cli/<name>.cpp.
Command run_command();
Command smoke_command();
Command validate_command();
Command plan_command();
Command eval_command();
Command compare_command();
Command generate_command();
Command classify_command();
Command embed_command();
Command tokenize_command();
Command logits_command();
Command inspect_command();
Command export_command();
Command verify_command();
Command bench_command();
Command list_command();
Command schema_command();
Command doctor_command();

}  // namespace attar::cli
