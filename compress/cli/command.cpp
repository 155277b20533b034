#include "compress/cli/command.h"

#include <algorithm>
#include <array>

#include "compress/hub/pull.h"

namespace attar::cli {
namespace {

/// The options and arguments that name models. An address there (hf://owner/name) is downloaded,
/// and the command sees the directory; `name=address` keeps the name.
constexpr std::array<std::string_view, 6> kModels = {"model", "tokenizer", "reference",
                                                     "path",  "base",      "teacher"};

bool download_models(po::parsed_options& parsed) {
  bool changed = false;
  for (auto& option : parsed.options) {
    if (std::find(kModels.begin(), kModels.end(), option.string_key) == kModels.end()) continue;
    for (std::string& value : option.value) {
      const size_t named = value.find("=hf://");
      const size_t begin = named == std::string::npos ? 0 : named + 1;
      if (!is_hub_address(std::string_view(value).substr(begin))) continue;
      value.replace(begin, std::string::npos, local_model(value.substr(begin)).string());
      changed = true;
    }
  }
  return changed;
}

}  // namespace

Parsed parse(const Command& command, const std::vector<std::string>& args,
             po::options_description options,
             const po::positional_options_description& positional) {
  return parse_command(command, args, std::move(options), positional, download_models);
}

}  // namespace attar::cli
