#include "compress/cli/smoke_recipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/architecture/family.h"
#include "compress/architecture/shrink.h"
#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/cli/random_model.h"
#include "compress/data/document_readers.h"
#include "compress/formats/json.h"
#include "compress/formats/safetensors.h"
#include "compress/formats/weights.h"

namespace attar::cli {
namespace {

constexpr int64_t kWindows = 8, kSteps = 2, kBatch = 2;
constexpr size_t kBytes = size_t{64} << 10;  // of a data file
constexpr size_t kFiles = 32;                // of a data directory
constexpr uint64_t kSeed = 1;

/// The first lines of a file, or all of a short one.
std::string beginning(const fs::path& file, size_t bytes) {
  const MappedFile mapped = MappedFile::open(file);
  const std::string_view text = mapped.text();
  if (text.size() <= bytes) return std::string(text);
  const size_t end = text.rfind('\n', bytes);
  if (end == std::string_view::npos)  // one endless line: cut between two characters
    return std::string(text.substr(0, [&] {
      size_t at = bytes;
      while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
      return at;
    }()));
  return std::string(text.substr(0, end + 1));
}

/// Copies the beginning of an entry's data; returns where it is.
fs::path cut_data(const DataSpec& data, const fs::path& place) {
  if (!fs::is_directory(data.path)) {
    const fs::path copy = place.string() + data.path.extension().string();
    write_file(copy, beginning(data.path, kBytes));
    return copy;
  }
  auto files = data_files(data);
  files.resize(std::min(files.size(), kFiles));
  for (size_t i = 0; i < files.size(); ++i) {
    fs::create_directories(place / fmt::format("{:03}", i));
    write_file(place / fmt::format("{:03}", i) / files[i].filename(),
               beginning(files[i], kBytes / 8));
  }
  return place;
}

void shrink_data(Recipe& recipe, const fs::path& directory) {
  std::map<fs::path, fs::path> copies;
  const DataSpec* labelled = nullptr;
  for (DataSpec& data : recipe.data) {
    // The beginnings of two files may not have the same labels: one file serves as both.
    if (!data.label.empty() && labelled != nullptr) {
      const std::string name = data.name;
      data = *labelled;
      data.name = name;
      continue;
    }
    if (!data.label.empty()) labelled = &data;
    if (data.path.empty()) continue;
    if (data_format(data) == "ids") {  // as they are: windows of one length
      data.samples = std::min(data.samples.value_or(kWindows), kWindows);
      continue;
    }
    auto& copy = copies[data.path];
    if (copy.empty()) copy = cut_data(data, directory / fmt::format("data-{}", copies.size()));
    data.path = copy;
    data.length = kSmokeWindow;
    data.samples = std::min(data.samples.value_or(4 * kWindows), 4 * kWindows);
  }
}

void put(Node& options, const std::string& key, int64_t value) {
  Problems problems;
  options.set(key, std::to_string(value), problems, "smoke");
  problems.throw_if_any();
}

/// A few steps on short windows.
void shrink_training(Node& options) {
  for (const char* key : {"epochs", "validate_every", "checkpoint_every", "warmup"})
    options.remove(key);
  put(options, "steps", kSteps);
  put(options, "batch", kBatch);
  put(options, "accumulate", 1);
  put(options, "window", kSmokeWindow);
  const Node architecture = options["architecture"];
  if (!architecture.is_map()) return;
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, int64_t>>{{"hidden", 128},
                                                              {"ffn", 256},
                                                              {"layers", 2},
                                                              {"heads", 4},
                                                              {"kv_heads", 2},
                                                              {"head_dim", 32}})
    if (architecture[key].defined()) put(options, std::string("architecture.") + key, value);
  if (options["tokenizer"]["vocab_size"].defined()) put(options, "tokenizer.vocab_size", 300);
}

void shrink_stage(StageSpec& stage, const Toolbox& tools) {
  for (const StageType& type : tools.stages) {
    if (type.name != stage.type) continue;
    if (type.trains) shrink_training(stage.options);
    if (type.name == std::string_view("prune"))  // a model of two layers has none to spare
      for (const char* key : {"protect_first", "protect_last"}) put(stage.options, key, 0);
    std::vector<std::string> data, references;
    if (type.references) type.references(stage.options, data, references);
    for (const std::string& name : references)
      if (name.find('/') != std::string::npos)
        throw bad_input(fmt::format("stage '{}' uses the directory '{}', which belongs to the real "
                                    "model",
                                    stage.name, name),
                        stage.where, "a smoke run has a random model instead");
  }
}

/// True when the family's config.json can say that there are fewer heads of the same size.
bool heads_can_go(const fs::path& directory, ModelSpec spec) {
  const fs::path file = directory / "model" / "config.json";
  auto config = parse_json<nlohmann::ordered_json>(read_text(file), file.string());
  for (BlockSpec& block : spec.blocks) {
    AttentionSpec& attention = block.attention;
    if (attention.kv_heads == 0) continue;
    attention.heads /= attention.kv_heads;
    attention.kv_heads = 1;
  }
  try {
    write_model_spec(spec, config);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void shrink_recipe(Recipe& recipe, const Toolbox& tools, const fs::path& directory) {
  for (StageSpec& stage : recipe.stages) shrink_stage(stage, tools);
  if (!recipe.model.empty()) {
    const auto config = ModelDirectory::open(recipe.model).config;
    fs::create_directories(directory / "model");
    write_random_model(shrunken_config(config, recipe.model), directory / "model", recipe.model,
                       kSeed);
    recipe.model = directory / "model";
  }
  shrink_data(recipe, directory);
  recipe.output = directory / "run";
  recipe.gates.clear();
  recipe.ram_budget.reset();
  if (recipe.evaluate) recipe.evaluate->window = kSmokeWindow;
}

Recipe family_recipe(const fs::path& directory, const ModelSpec& spec) {
  const bool classifies = spec.task == Task::classify;
  std::vector<SafetensorsWriter::Declaration> tensors = {
      {"input_ids", DType::i64, {kWindows, kSmokeWindow}}};
  if (classifies) tensors.push_back({"labels", DType::i64, {kWindows}});
  SafetensorsWriter writer(directory / "ids.safetensors", tensors);
  Random random(kSeed);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kWindows * kSmokeWindow; ++i)
    ids.push_back(static_cast<int64_t>(random.below(static_cast<uint64_t>(spec.vocab))));
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < kWindows; ++i)
    labels.push_back(i % std::max(1l, std::ssize(spec.labels)));
  if (classifies) writer.write("labels", std::as_bytes(std::span(labels)));
  writer.finish();
  const std::string text = fmt::format(
      R"(attar: 1
name: smoke
seed: 1
output: run
model: model
data:
  ids: {{path: ids.safetensors, format: ids}}
stages:
  - {{name: prune, type: prune, method: width, keep: {{ffn: 0.5{3}}}, data: ids}}
  - {{name: distil, type: distill, teacher: model, data: ids, steps: {0}, batch: {1}, window: {2}}}
  - {{name: lora, type: lora, data: ids, rank: 4, alpha: 8, steps: {0}, batch: {1}, window: {2}}}
  - {{name: gptq, type: quantize, method: gptq, scheme: W4A16, group_size: 32, data: ids}}
  - {{name: awq, from: lora, type: quantize, method: awq, scheme: W4A16_ASYM, group_size: 32, data: ids}}
evaluate: {{data: ids, metrics: [{4}]}}
)",
      kSteps, kBatch, kSmokeWindow, heads_can_go(directory, spec) ? ", heads: 0.5" : "",
      // Random ids are no texts with labels, which is what encoders are measured on.
      spec.task == Task::causal_lm ? "perplexity, kl, top1, size" : "size");
  Problems problems;
  Recipe recipe = parse_recipe(text, "smoke", directory, {}, std::nullopt, problems);
  problems.throw_if_any();
  return recipe;
}

}  // namespace attar::cli
