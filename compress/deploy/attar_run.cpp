// attar-run: `attar generate` alone, in one small file that needs nothing beside it.
#include <fmt/format.h>

#include "compress/base/process.h"
#include "compress/deploy/generate_command.h"

namespace attar {
namespace {

int run(const Command& self, const std::vector<std::string>& args) {
  GenerateArguments arguments;
  const po::options_description options = generate_options(arguments);
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse_command(self, args, options, positional);
  if (!parsed.help_shown) generate_text(arguments, parsed.json);
  return 0;
}

const Command kRun = {
    "",
    "MODEL --prompt TEXT [options]",
    "continues a text with a model directory or GGUF file",
    "attar-run ./student --prompt \"Once upon a time\" --max-new-tokens 64\n"
    "attar-run model.gguf --prompt \"Dear customer,\" --temperature 0.8 --top-p 0.95 --seed 1\n"
    "attar-run ./student --chat --prompt \"What is the capital of France?\"",
    run,
    "attar-run"};

}  // namespace
}  // namespace attar

int main(int argc, char** argv) {
  attar::install_interrupt_handler();
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  return attar::guarded_main([&] {
    if (args.size() == 1 && args[0] == "--version") {
      fmt::print("attar-run {}\n", ATTAR_VERSION);
      return 0;
    }
    return attar::kRun.run(attar::kRun, args);
  });
}
