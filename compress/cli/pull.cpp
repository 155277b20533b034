// attar pull: a model from a hub into the cache, or into a directory.
#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/cli/pull.h"
#include "compress/hub/pull.h"

namespace attar::cli {
namespace {

/// The snapshot's files themselves instead of links to them.
void copy_files(const PulledModel& model, const fs::path& output) {
  StagedDirectory staged(output);
  for (const std::string& name : model.files) {
    std::error_code code;
    fs::create_directories((staged.path() / name).parent_path(), code);
    if (!code) fs::copy_file(model.directory / name, staged.path() / name, code);
    if (code)
      throw failure("cannot copy file: " + code.message(), (staged.path() / name).string(),
                    "check free space (df) and permissions");
  }
  staged.commit();
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string address, output;
  options.add_options()  //
      ("address", po::value(&address)->required(),
       "hf://owner/name or hf://owner/name@revision")  //
      ("output", po::value(&output), "a directory to be made of the files, besides the cache");
  po::positional_options_description positional;
  positional.add("address", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  const HubAddress place = parse_hub_address(address);
  if (!output.empty() && fs::exists(output))
    throw bad_input("the output is there already", output, "remove it, or name another directory");

  const PulledModel model = pull_model(place, hub_settings());
  if (!output.empty()) copy_files(model, output);
  const std::string directory = output.empty() ? model.directory.string() : output;
  if (parsed.json) {
    const nlohmann::ordered_json json = {{"path", directory},
                                         {"commit", model.commit},
                                         {"files", model.files},
                                         {"downloaded_bytes", model.downloaded},
                                         {"unhashed", model.unhashed}};
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}\n", directory);
  }
  return 0;
}

}  // namespace

Command pull_command() {
  return {"pull", "hf://OWNER/NAME[@REVISION] [options]",
          "downloads a model: only what attar reads, resumed and checked",
          "attar pull hf://owner/name\n"
          "attar pull hf://owner/name@v1.0 --output ./teacher\n"
          "HF_HUB_OFFLINE=1 attar pull hf://owner/name",
          run};
}

}  // namespace attar::cli
