// attar inspect: what a model, an adapter, a safetensors file or a run holds, from headers alone.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/cli/command.h"
#include "compress/formats/gguf/file.h"
#include "compress/formats/json.h"
#include "compress/formats/peft.h"
#include "compress/formats/safetensors.h"
#include "compress/pipeline/manifest.h"
#include "compress/pipeline/plan.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Adds parameters, bytes, bits_per_weight and tensors: every stored tensor, with codes, scales and
/// zeros.
void add_tensors(const std::vector<WeightInfo>& list, Json& json) {
  int64_t parameters = 0;
  uint64_t bytes = 0;
  auto tensors = Json::array();
  for (const WeightInfo& info : list) {
    parameters += element_count(info.shape);
    bytes += info.bytes;
    tensors.push_back({{"name", info.name},
                       {"shape", info.shape},
                       {"format", info.format},
                       {"bytes", info.bytes}});
  }
  json["parameters"] = parameters;
  json["bytes"] = bytes;
  json["bits_per_weight"] =
      parameters == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
  json["tensors"] = std::move(tensors);
}

std::vector<WeightInfo> listing(const Safetensors& file) {
  std::vector<WeightInfo> list;
  for (const TensorView& tensor : file.tensors())
    list.push_back(
        {tensor.name, tensor.shape, std::string(dtype_name(tensor.dtype)), tensor.bytes.size()});
  return list;
}

Json read_json(const fs::path& path) {
  return parse_json<Json>(MappedFile::open(path).text(), path.string());
}

/// A text of a configuration, or null.
Json text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? *found : Json(nullptr);
}

const char* task_name(Task task) {
  switch (task) {
    case Task::causal_lm:
      return "text generation";
    case Task::classify:
      return "classification";
    case Task::embed:
      return "embedding";
  }
  return "";
}

/// Widths of the feed-forward halves, and how many blocks have DeltaNet or experts.
void add_block_kinds(const ModelSpec& spec, Json& json) {
  int64_t recurrent = 0, sparse = 0;
  for (const BlockSpec& block : spec.blocks) {
    recurrent += block.delta_net.has_value();
    sparse += block.moe.has_value();
    if (!block.moe && !json.contains("ffn")) json["ffn"] = block.mlp.width;
    if (!block.moe || json.contains("experts")) continue;
    json["experts"] = block.moe->experts.size();
    json["experts_per_token"] = block.moe->top_k;
    json["expert_ffn"] = block.moe->experts.front().width;
    json["shared_expert_ffn"] = block.moe->shared.width;
    json["active_parameters"] = spec.active_parameters();
  }
  if (recurrent > 0) json["delta_net_layers"] = recurrent;
  if (sparse > 0) json["expert_layers"] = sparse;
}

/// The dimensions of a model whose family is known; otherwise, or when the weights contradict
/// config.json, `problem` says so: looking at a model that can't be run is what inspect is for.
void add_architecture(const ModelDirectory& model, Json& json) {
  const std::string where = (model.path / "config.json").string();
  try {
    const ModelSpec spec = read_model_spec(model.config, where);
    json["architecture"] = spec.architecture;
    json["family"] = spec.family;
    json["layers"] = spec.blocks.size();
    json["hidden"] = spec.hidden;
    if (const AttentionSpec* attention = spec.first_attention()) {
      json["heads"] = attention->heads;
      json["kv_heads"] = attention->kv_heads;
      json["head_dim"] = attention->head_dim;
    }
    add_block_kinds(spec, json);
    json["vocab"] = spec.vocab;
    json["max_positions"] = spec.max_positions;
    json["task"] = task_name(spec.task);
    if (spec.task == Task::causal_lm) json["tied_head"] = spec.tied;
    if (spec.task == Task::classify) json["labels"] = spec.labels;
    const Model opened = open_model(model);
    if (spec.task == Task::embed) {
      json["pooling"] = opened.spec.pooling == Pooling::mean ? "mean" : "first token";
      json["normalize"] = opened.spec.normalize;
    }
    if (!opened.notes.empty()) json["notes"] = opened.notes;
  } catch (const Error& error) {
    json["problem"] = fmt::format("{} ({})", error.what(), error.where());
  }
}

Json inspect_model(const fs::path& path) {
  const auto model = ModelDirectory::open(path);
  Json json = {{"kind", "model"}, {"path", path.string()}};
  const auto architectures = model.config.find("architectures");
  const bool named = architectures != model.config.end() && architectures->is_array() &&
                     !architectures->empty() && architectures->front().is_string();
  json["architecture"] = named ? architectures->front() : text_at(model.config, "model_type");
  json["family"] = nullptr;
  add_architecture(model, json);
  json["tokenizer"] = nullptr;
  for (const char* file : {"tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json"})
    if (json["tokenizer"].is_null() && fs::exists(path / file)) json["tokenizer"] = file;
  add_tensors(model.weights->list(), json);
  return json;
}

Json inspect_safetensors(const fs::path& path) {
  const auto file = Safetensors::open(path);
  Json json = {{"kind", "safetensors"},
               {"path", path.string()},
               {"architecture", nullptr},
               {"family", nullptr},
               {"metadata", file.metadata()}};
  add_tensors(listing(file), json);
  return json;
}

Json inspect_adapter(const fs::path& path) {
  const fs::path config_path = path / "adapter_config.json";
  const Json config = read_json(config_path);
  const auto file = Safetensors::open(path / "adapter_model.safetensors");
  Json json = {
      {"kind", "adapter"}, {"path", path.string()}, {"architecture", nullptr}, {"family", nullptr}};
  json["adapter_type"] = text_at(config, "peft_type");
  json["base_model"] = text_at(config, "base_model_name_or_path");
  try {
    const LoraConfig lora = read_lora_config(config, config_path.string());
    json["rank"] = lora.rank;
    json["alpha"] = lora.alpha;
    json["rslora"] = lora.rslora;
    json["targets"] =
        lora.target_expression.empty() ? Json(lora.targets) : Json(lora.target_expression);
  } catch (const Error& error) {
    json["problem"] = fmt::format("{} ({})", error.what(), error.where());
  }
  add_tensors(listing(file), json);
  return json;
}

/// The stages of a run in the order they ran, each with the model or adapter it made.
Json inspect_run(const fs::path& path) {
  std::vector<std::pair<fs::file_time_type, fs::path>> artifacts;  // a manifest is written last
  for (const auto& entry : fs::directory_iterator(path))
    if (fs::exists(entry.path() / "manifest.json"))
      artifacts.emplace_back(fs::last_write_time(entry.path() / "manifest.json"), entry.path());
  std::sort(artifacts.begin(), artifacts.end());
  Json json = {
      {"kind", "run"}, {"path", path.string()}, {"architecture", nullptr}, {"family", nullptr}};
  json["stages"] = Json::array();
  for (const auto& [time, artifact] : artifacts) {
    Json stage = {{"name", artifact.filename().string()}};
    if (const auto manifest = read_manifest(artifact)) stage["type"] = manifest->type;
    Json made;
    if (fs::exists(artifact / "model/config.json"))
      made = inspect_model(artifact / "model");
    else if (fs::exists(artifact / "adapter/adapter_config.json"))
      made = inspect_adapter(artifact / "adapter");
    for (const char* key :
         {"kind", "architecture", "family", "parameters", "bytes", "bits_per_weight", "problem"})
      if (made.contains(key)) stage[key] = made[key];
    json["stages"].push_back(std::move(stage));
  }
  add_tensors({}, json);
  json["bytes"] = bytes_on_disk(path);
  return json;
}

Json inspect(const fs::path& path) {
  if (!fs::exists(path))
    throw bad_input("no such file or directory", path.string(),
                    "give a model directory, an adapter, a .safetensors file or a run directory");
  if (const auto file = gguf::find_model_file(path)) return inspect_model(*file);
  if (!fs::is_directory(path)) return inspect_safetensors(path);
  if (fs::exists(path / "config.json")) return inspect_model(path);
  if (fs::exists(path / "adapter_config.json")) return inspect_adapter(path);
  if (fs::exists(path / "recipe.yaml") || fs::exists(path / "report.json"))
    if (!fs::exists(path / "manifest.json")) return inspect_run(path);
  if (fs::exists(path / "model/config.json")) return inspect_model(path / "model");
  if (fs::exists(path / "adapter/adapter_config.json")) return inspect_adapter(path / "adapter");
  throw bad_input("neither a model, an adapter nor a run", path.string(),
                  "a model holds config.json, an adapter adapter_config.json, a run recipe.yaml");
}

std::string shape_text(const Json& shape) {
  return fmt::format("[{}]", fmt::join(shape.get<std::vector<int64_t>>(), ", "));
}

/// Rows of texts, in columns as wide as their longest; the last columns from `right` on flush
/// right.
void print_columns(const std::vector<std::vector<std::string>>& rows, size_t right) {
  std::vector<size_t> widths(rows.empty() ? 0 : rows.front().size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += i < right ? fmt::format("{:<{}}  ", row[i], widths[i])
                        : fmt::format("{:>{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

std::string plain(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.4g}", value.get<double>());
  return value.dump();
}

void print_text(const Json& json) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_null() || key == "tensors" || key == "stages" || key == "metadata") continue;
    const std::string text = key == "bytes" ? fmt::format("{} ({})", value.get<uint64_t>(),
                                                          human_bytes(value.get<uint64_t>()))
                                            : plain(value);
    fmt::print("{:<16} {}\n", key, text);
  }
  if (json.contains("metadata"))
    for (const auto& [key, value] : json["metadata"].items())
      fmt::print("{:<16} {} = {}\n", "metadata", key, plain(value));
  std::vector<std::vector<std::string>> rows;
  if (json.contains("stages")) {
    rows.push_back({"stage", "type", "family", "parameters", "bytes", "bits/weight"});
    for (const auto& stage : json["stages"]) {
      const auto cell = [&](const char* key) {
        return stage.contains(key) && !stage[key].is_null() ? plain(stage[key]) : std::string("-");
      };
      rows.push_back({cell("name"), cell("type"), cell("family"), cell("parameters"), cell("bytes"),
                      cell("bits_per_weight")});
    }
    fmt::print("\n");
    print_columns(rows, 3);
    return;
  }
  rows.push_back({"tensor", "shape", "format", "bytes"});
  for (const auto& tensor : json["tensors"])
    rows.push_back({tensor["name"], shape_text(tensor["shape"]), tensor["format"],
                    std::to_string(tensor["bytes"].get<uint64_t>())});
  fmt::print("\n");
  print_columns(rows, 3);
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string path;
  options.add_options()("path", po::value(&path)->required(),
                        "model directory, adapter, safetensors file or run directory");
  po::positional_options_description positional;
  positional.add("path", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  const Json json = inspect(path);
  if (parsed.json)
    fmt::print("{}\n", json.dump(2));
  else
    print_text(json);
  return 0;
}

}  // namespace

Command inspect_command() {
  return {"inspect", "PATH [--json]",
          "architecture, parameters, bytes, bits per weight and tensors, from headers alone",
          "attar inspect models/teacher\n"
          "attar inspect runs/stories-student\n"
          "attar inspect model.safetensors --json",
          run};
}

}  // namespace attar::cli
