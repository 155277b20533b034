// What is wrong with a recipe, beyond what the recipe itself can know: checks against the table of
// stages, the metrics and the file system. Reads no weights.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/data/document_readers.h"
#include "compress/formats/gguf/file.h"
#include "compress/hub/address.h"
#include "compress/pipeline/cache.h"
#include "compress/pipeline/gates.h"
#include "compress/pipeline/runner.h"

namespace attar {
namespace {

template <class Items>
std::vector<std::string> names_of(const Items& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.emplace_back(item.name);
  return names;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

/// Where a stage's options say `text` (the name of something they refer to).
std::string place_of(const std::string& text, const StageSpec& spec) {
  std::string place;
  spec.options.for_each_scalar([&](const Node& scalar) {
    if (place.empty() && scalar.text() == text && !contains(kStageKeys, scalar.key()))
      place = scalar.where();
  });
  return place.empty() ? spec.where : place;
}

void check_data(const DataSpec& data, const Recipe& recipe, Problems& problems) {
  if (data.path.empty()) return;
  std::error_code code;
  const DataSpec* parent = recipe.find_data(data.from);
  if (parent && parent->path == data.path && parent->format == data.format &&
      parent->include == data.include)
    return;  // told once, of the entry that names it
  if (!fs::exists(data.path, code)) {
    problems.add("no such data file: " + data.path.string(), data.where,
                 "relative paths are relative to the recipe file");
  } else if (::access(data.path.c_str(), R_OK) != 0) {
    problems.add("data file can't be read: " + data.path.string(), data.where);
  } else if (fs::is_regular_file(data.path) && fs::file_size(data.path) == 0) {
    problems.add("data file is empty: " + data.path.string(), data.where);
  } else {
    try {
      data_format(data);
      data_files(data);
    } catch (const Error& e) {
      problems.add(e.what(), e.where(), e.hint());
    }
  }
}

/// Whether the path means a GGUF file; two of them are a problem of their own.
bool find_gguf(const fs::path& path, const std::string& where, Problems& problems) {
  try {
    return gguf::find_model_file(path).has_value();
  } catch (const Error& e) {
    problems.add(e.what(), where, e.hint());
    return true;
  }
}

void check_model_place(const Recipe& recipe, Problems& problems) {
  if (recipe.model.empty()) return;
  const std::string& where = recipe.model_where;
  std::error_code code;
  if (is_hub_address(recipe.model)) {
    try {
      parse_hub_address(recipe.model, where);  // whether it exists, only `run` asks
    } catch (const Error& e) {
      problems.add(e.what(), e.where(), e.hint());
    }
    return;
  }
  const char* const wanted =
      "give a directory with config.json and safetensors files, or a GGUF file; relative paths are "
      "relative to the recipe file";
  if (!fs::exists(recipe.model, code))
    problems.add("no such model directory or GGUF file: " + recipe.model, where, wanted);
  else if (!fs::is_regular_file(fs::path(recipe.model) / "config.json", code) &&
           !find_gguf(recipe.model, where, problems))
    problems.add(fs::is_directory(recipe.model, code)
                     ? "no config.json in the model directory: " + recipe.model
                     : "no GGUF file: " + recipe.model,
                 where, wanted);
}

/// `earlier`: the names that this stage may refer to.
void check_stage(const StageSpec& spec, const Recipe& recipe, const Toolbox& tools,
                 const std::vector<std::string>& earlier, Problems& problems) {
  const StageType* type = find_stage_type(tools, spec.type);
  if (!type && spec.type.empty()) return;  // missing: the recipe's reader has said so
  if (!type) {
    problems.add("unknown stage type '" + spec.type + "'", spec.options["type"].where(),
                 suggest(spec.type, names_of(tools.stages)));
    return;
  }
  type->resolve(spec.options, problems);
  if (spec.from == "model" && recipe.model.empty() && type->needs_model)
    problems.add("stage '" + spec.name + "' needs a model, and the recipe has none", spec.where,
                 "set model: or let a stage of type train come first");
  if (!type->references) return;
  std::vector<std::string> data, stages;
  type->references(spec.options, data, stages);
  for (const auto& name : data)
    if (!name.empty() && !recipe.find_data(name))
      problems.add(fmt::format("stage '{}' uses the unknown data entry '{}'", spec.name, name),
                   place_of(name, spec), suggest(name, names_of(recipe.data)));
  for (const auto& name : stages) {
    if (is_directory_reference(name)) {
      if (!fs::is_directory(recipe.file.parent_path() / name))
        problems.add(fmt::format("stage '{}' uses the directory '{}', which does not exist",
                                 spec.name, name),
                     place_of(name, spec), "relative paths are relative to the recipe file");
    } else if (!name.empty() && !contains(earlier, name)) {
      problems.add(
          fmt::format("stage '{}' refers to '{}', which is neither the model nor an earlier stage",
                      spec.name, name),
          place_of(name, spec), suggest(name, earlier));
    }
  }
}

void check_sweep(const Recipe& recipe, const std::vector<std::string>& metrics,
                 Problems& problems) {
  if (!recipe.sweep) return;
  const SweepSpec& sweep = *recipe.sweep;
  if (!recipe.evaluate)
    problems.add("a sweep needs an evaluation, which compares its models", sweep.where,
                 "add evaluate: to the recipe");
  if (!sweep.metric.empty() && !contains(metrics, sweep.metric))
    problems.add("unknown metric '" + sweep.metric + "'", sweep.where,
                 suggest(sweep.metric, metrics));
}

void check_evaluation(const Recipe& recipe, const Toolbox& tools, Problems& problems) {
  if (!recipe.evaluate) return;
  const EvaluateSpec& e = *recipe.evaluate;
  if (contains(e.models, "model") && recipe.model.empty())
    problems.add("evaluation of 'model', and the recipe has none", e.where,
                 "name stages only, or set model:");
  for (const auto& task : e.tasks)
    if (!task.path.empty() && !fs::is_regular_file(task.path))
      problems.add("no such task file: " + task.path.string(), task.where,
                   "write FILE or NAME=FILE; relative paths are relative to the recipe file");
  for (size_t i = 0; i < e.metrics.size(); ++i) {
    const Node list = e.node["metrics"];
    if (!contains(tools.metrics, e.metrics[i]))
      problems.add("unknown metric '" + e.metrics[i] + "'",
                   list.is_list() ? list.at(i).where() : list.where(),
                   suggest(e.metrics[i], tools.metrics));
  }
}

}  // namespace

void validate_recipe(const Recipe& recipe, const Toolbox& tools, Problems& problems) {
  check_model_place(recipe, problems);
  for (const auto& data : recipe.data) check_data(data, recipe, problems);
  std::vector<std::string> models;
  if (!recipe.model.empty()) models.push_back("model");
  for (const auto& spec : recipe.stages) {
    check_stage(spec, recipe, tools, models, problems);
    models.push_back(spec.name);
  }
  check_evaluation(recipe, tools, problems);
  check_gates(recipe, models, tools.metrics, problems);
  check_sweep(recipe, tools.metrics, problems);
}

}  // namespace attar
