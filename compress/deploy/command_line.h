// What every command of `attar`, and attar-run, has in common: how arguments are read and how
// errors become messages and exit codes.
#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace attar {

namespace po = boost::program_options;

struct Command {
  std::string_view name;
  std::string_view synopsis;  // "MODEL --prompt TEXT [options]"
  std::string_view summary;   // one line
  std::string_view examples;  // shown under --help, one a line
  int (*run)(const Command& self, const std::vector<std::string>& args);  // args after the name
  std::string_view program = "attar";  // what the name is a subcommand of; without name: itself

  std::string usage() const;  // "usage: attar generate MODEL …"
};

/// A parsed command line. The global options (--help, --threads, --quiet, --json) are already
/// applied.
struct Parsed {
  po::variables_map values;
  bool help_shown = false;  // --help was asked for and printed: return 0
  bool json = false;
};

/// Changes values before the command sees them, and says whether it did.
using Rewrite = std::function<bool(po::parsed_options&)>;

/// Adds the global options, parses, checks. Unknown options are bad_input with the nearest known
/// one.
Parsed parse_command(const Command& command, const std::vector<std::string>& args,
                     po::options_description options,
                     const po::positional_options_description& positional,
                     const Rewrite& rewrite = {});

/// --packed-cache, for commands that load a model into the runtime.
void add_packed_cache(po::options_description& options, bool& wanted);

/// Runs `body`, flushes standard output, prints what was thrown; returns the exit code.
int guarded_main(const std::function<int()>& body);

}  // namespace attar
