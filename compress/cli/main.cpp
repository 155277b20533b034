// The program `attar`: finds the subcommand and runs it.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/process.h"
#include "compress/cli/command.h"
#include "compress/cli/pull.h"
#include "compress/cli/training.h"

namespace attar::cli {

std::span<const Command> commands() {
  static const std::array rows = {
      run_command(),    validate_command(), plan_command(),     smoke_command(),
      eval_command(),   compare_command(),  generate_command(), classify_command(),
      embed_command(),  tokenize_command(), logits_command(),   inspect_command(),
      export_command(), verify_command(),   bench_command(),    list_command(),
      schema_command(), doctor_command(),   pull_command()};
  return rows;
}

namespace {

void print_overview() {
  fmt::print(
      "attar {}: makes large language models small (prune, distil, quantize, LoRA)\n\n"
      "usage: attar COMMAND [arguments] [options]\n\n",
      ATTAR_VERSION);
  for (const auto& command : commands()) fmt::print("  {:<10}{}\n", command.name, command.summary);
  fmt::print(
      "\nEvery command takes --help, --threads N, --quiet and, where a machine may read, "
      "--json.\n\n"
      "Examples:\n"
      "  attar run                            trains, compresses and evaluates a small model\n"
      "  attar validate recipes/stories.yaml  finds every mistake in a recipe\n"
      "  attar list stages                    what recipes are made of\n");
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& command : commands()) {
    if (command.name == name) return command;
    names.emplace_back(command.name);
  }
  throw bad_input("unknown command '" + name + "'", {}, suggest(name, names));
}

/// Global options in front of the command go behind it, where its parser reads them.
std::vector<std::string> command_first(std::vector<std::string> args) {
  size_t command = 0;
  while (command < args.size() && args[command].starts_with("-")) {
    const std::string& option = args[command];
    const bool global =
        option == "--quiet" || option == "--json" || option.starts_with("--threads");
    if (!global) return args;
    command += option == "--threads" ? 2 : 1;
  }
  if (command < args.size()) {
    std::rotate(args.begin(), args.begin() + static_cast<long>(command), args.end());
  }
  return args;
}

int dispatch(std::vector<std::string> args) {
  args = command_first(std::move(args));
  if (args.empty()) {
    print_overview();
    return static_cast<int>(ExitCode::bad_input);
  }
  const std::string name = args.front();
  args.erase(args.begin());
  if (name == "--version") {
    fmt::print("attar {}\n", ATTAR_VERSION);
    return 0;
  }
  if (name == "--help" || name == "-h" || name == "help") {
    if (args.empty()) {
      print_overview();
      return 0;
    }
    const Command& command = find_command(args.front());
    return command.run(command, {"--help"});
  }
  const Command& command = find_command(name);
  return command.run(command, args);
}

}  // namespace
}  // namespace attar::cli

int main(int argc, char** argv) {
  attar::install_interrupt_handler();
  attar::cli::process_arguments().assign(argv, argv + argc);
  return attar::guarded_main([&] {
    return attar::cli::dispatch({argv + (argc > 0 ? 1 : 0), argv + argc});
  });
}
