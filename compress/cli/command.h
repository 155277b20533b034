// Subcommands of `attar`: one file each, one row each in the table of main.cpp.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compress/deploy/command_line.h"
#include "compress/pipeline/runner.h"
#include "compress/pipeline/stage.h"

namespace attar::cli {

/// parse_command(), with models downloaded that are named by an address (hf://owner/name).
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
