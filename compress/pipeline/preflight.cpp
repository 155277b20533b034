#include "compress/pipeline/preflight.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/process.h"
#include "compress/data/dataset.h"
#include "compress/data/document_readers.h"
#include "compress/formats/safetensors.h"
#include "compress/pipeline/run_directory.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

/// Names of the data entries that `stages` and the evaluation read.
std::set<std::string> used_data(const Recipe& recipe, const Toolbox& tools,
                                const std::vector<const StageSpec*>& stages) {
  std::set<std::string> used;
  for (const auto* spec : stages) {
    std::vector<std::string> data, parents;
    const StageType* type = find_stage_type(tools, spec->type);
    if (type->references) type->references(spec->options, data, parents);
    used.insert(data.begin(), data.end());
  }
  if (recipe.evaluate) used.insert(recipe.evaluate->data);
  return used;
}

/// Reads each entry once, so that an empty file or a malformed line is known before hours of work.
/// Returns whether any of them is text.
bool check_data(const Recipe& recipe, const std::set<std::string>& used) {
  bool text = false;
  for (const auto& name : used) {
    const DataSpec& data = *recipe.find_data(name);
    check_interrupted();
    if (data_format(data) == "ids") {
      Safetensors::open(data.path).at("input_ids");
      continue;
    }
    text = true;
    const auto documents = load_documents(data);
    if (std::all_of(documents.begin(), documents.end(), [](const auto& d) { return d.empty(); }))
      throw bad_input("data entry '" + name + "' holds no text", data.where);
  }
  return text;
}

void check_input_model(const Recipe& recipe, bool reads_text, FileHashes& hashes, CacheKeys& keys) {
  const Model model = open_model(recipe.model);
  if (reads_text) {
    const auto tokenizer = Tokenizer::load(recipe.model);
    if (tokenizer->vocab_size() > model.spec.vocab)
      throw bad_input(fmt::format("the tokenizer has {} tokens, the model's embedding {} rows",
                                  tokenizer->vocab_size(), model.spec.vocab),
                      recipe.model, "the tokenizer files belong to another model");
  }
  if (hashes.checked(keys.model_hash())) return;
  try {
    check_finite(*model.weights);
  } catch (const Error& e) {
    throw Error(e.code(), e.what(), recipe.model + ": " + e.where(), e.hint());
  }
  hashes.set_checked(keys.model_hash());
}

std::vector<std::string> check_memory(const Recipe& recipe, const RecipePlan& plan,
                                      const std::vector<const StageSpec*>& stages) {
  const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
  const uint64_t installed = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<std::string> notes;
  for (const auto& [spec, estimate] : plan.stages) {
    if (std::find(stages.begin(), stages.end(), spec) == stages.end()) continue;
    const std::string need = fmt::format("stage '{}' will need about {} of memory", spec->name,
                                         human_bytes(estimate.peak_bytes));
    if (recipe.ram_budget && estimate.peak_bytes > *recipe.ram_budget)
      throw bad_input(fmt::format("{}, the budget is {}", need, human_bytes(*recipe.ram_budget)),
                      spec->where,
                      "raise budget.ram, or use shorter windows, smaller batches, fewer samples");
    if (estimate.peak_bytes > installed)
      notes.push_back(fmt::format("{}; this machine has {}", need, human_bytes(installed)));
  }
  return notes;
}

void check_disk(const Recipe& recipe, const RecipePlan& plan,
                const std::vector<const StageSpec*>& stages) {
  uint64_t need = 0;
  for (const auto& [spec, estimate] : plan.stages) {
    const bool chosen = std::find(stages.begin(), stages.end(), spec) != stages.end();
    if (chosen && !fs::exists(recipe.output / spec->name)) need += estimate.bytes;
  }
  const uint64_t free = free_disk_bytes(recipe.output);
  if (need > free)
    throw bad_input(fmt::format("the run will need about {} of disk, {} are free",
                                human_bytes(need), human_bytes(free)),
                    recipe.output.string(), "free some, or choose another place with --output");
}

}  // namespace

std::vector<const StageSpec*> chosen_stages(const Recipe& recipe, const std::string& until) {
  std::vector<const StageSpec*> chosen;
  for (const auto& spec : recipe.stages) {
    chosen.push_back(&spec);
    if (spec.name == until) return chosen;
  }
  if (until.empty()) return chosen;
  std::vector<std::string> names;
  for (const auto& spec : recipe.stages) names.push_back(spec.name);
  throw bad_input("--until names no stage: '" + until + "'", recipe.file.string(),
                  suggest(until, names));
}

std::vector<std::string> preflight(const Recipe& recipe, const Toolbox& tools,
                                   const std::vector<const StageSpec*>& stages, FileHashes& hashes,
                                   CacheKeys& keys) {
  check_output(recipe);
  const RecipePlan plan = estimate_recipe(recipe, tools);
  auto notes = check_memory(recipe, plan, stages);
  check_disk(recipe, plan, stages);
  const bool reads_text = check_data(recipe, used_data(recipe, tools, stages));
  if (!recipe.model.empty()) check_input_model(recipe, reads_text, hashes, keys);
  return notes;
}

}  // namespace attar
