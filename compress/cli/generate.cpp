// attar generate: text from a model, streamed as it is written.
#include "compress/deploy/generate_command.h"

#include "compress/cli/command.h"

namespace attar::cli {
namespace {

int run(const Command& self, const std::vector<std::string>& args) {
  GenerateArguments arguments;
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse(self, args, generate_options(arguments), positional);
  if (!parsed.help_shown) generate_text(arguments, parsed.json);
  return 0;
}

}  // namespace

Command generate_command() {
  return {"generate", "MODEL --prompt TEXT [options]", "continues a text",
          "attar generate ./student --prompt \"Once upon a time\" --max-new-tokens 64\n"
          "attar generate ./student --prompt \"Dear customer,\" --temperature 0.8 --seed 1\n"
          "attar generate ./student --chat --prompt \"What is the capital of France?\"",
          run};
}

}  // namespace attar::cli
