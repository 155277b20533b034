#include "compress/architecture/sentence_modules.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compress/architecture/config_reader.h"
#include "compress/formats/json.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

ordered_json read_file(const fs::path& path) {
  return parse_json<ordered_json>(MappedFile::open(path).text(), path.string());
}

Pooling pooling_named(const ConfigReader& config, const char* key, const std::string& mode) {
  if (mode == "mean" || mode == "mean_tokens") return Pooling::mean;
  if (mode == "cls" || mode == "cls_token") return Pooling::first_token;
  throw config.error(key, fmt::format("the pooling \"{}\" is not supported", mode),
                     "supported: mean, cls");
}

Pooling read_pooling(const fs::path& path) {
  const ordered_json json = read_file(path);
  const ConfigReader config(json, path.string());
  if (const auto mode = config.optional_text("pooling_mode"))
    return pooling_named(config, "pooling_mode", *mode);
  constexpr std::string_view kStart = "pooling_mode_";
  std::vector<std::string> modes;
  for (const auto& [key, value] : json.items())
    if (key.starts_with(kStart) && config.flag(key.c_str(), false)) modes.push_back(key);
  if (modes.size() != 1)
    throw bad_input(fmt::format("{} poolings are switched on; one is supported", modes.size()),
                    path.string(), "supported: pooling_mode_mean_tokens, pooling_mode_cls_token");
  return pooling_named(config, modes[0].c_str(), modes[0].substr(kStart.size()));
}

}  // namespace

void read_sentence_modules(const fs::path& directory, ModelSpec& spec) {
  if (spec.task != Task::embed) return;
  fs::path pooling = directory / "1_Pooling" / "config.json";
  const fs::path list = directory / "modules.json";
  if (fs::exists(list)) {
    const ordered_json modules = read_file(list);
    if (!modules.is_array()) throw bad_input("a list of modules is expected", list.string());
    for (size_t i = 0; i < modules.size(); ++i) {
      const ConfigReader module(modules[i], list.string(), fmt::format("{}.", i));
      const std::string type = module.optional_text("type").value_or("");
      const std::string name = type.substr(type.rfind('.') + 1);
      if (name == "Pooling")
        pooling = directory / module.optional_text("path").value_or("1_Pooling") / "config.json";
      else if (name == "Normalize")
        spec.normalize = true;
      else if (name != "Transformer")
        throw module.error("type", fmt::format("the module \"{}\" is not supported", type),
                           "supported: Transformer, Pooling, Normalize");
    }
  }
  if (fs::exists(pooling)) spec.pooling = read_pooling(pooling);
}

int64_t longest_text(const fs::path& directory, const ModelSpec& spec) {
  const fs::path path = directory / "sentence_bert_config.json";
  if (!fs::exists(path)) return spec.max_positions;
  const ordered_json json = read_file(path);
  const auto limit = ConfigReader(json, path.string()).optional_size("max_seq_length");
  return std::min(limit.value_or(spec.max_positions), spec.max_positions);
}

}  // namespace attar
