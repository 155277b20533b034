#include "compress/recipe/recipe.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <set>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/nearest.h"
#include "compress/recipe/compose.h"
#include "compress/recipe/sections.h"

namespace attar {
namespace {

/// Names become folders and parts of key paths.
void check_name(const std::string& name, const Node& node, Problems& problems) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  if (name.empty() || name.size() > 100 || !std::all_of(name.begin(), name.end(), allowed))
    problems.add("'" + name + "' cannot be a name", node.where(),
                 "use letters, digits, '-' and '_', 100 at most");
}

/// Reads the parts of a recipe one after the other; `check` follows when all names are known.
class Reader {
 public:
  Reader(const ComposedRecipe& composed, Problems& problems)
      : composed_(composed), root_(composed.root.clone()), problems_(problems) {}

  Recipe read() {
    recipe_.sweep = expand_sweep(root_, problems_);
    top();
    data();
    stages();
    if (evaluate_) evaluate();
    gates();
    return std::move(recipe_);
  }

 private:
  void top() {
    auto section =
        parse_options<RecipeSection>(root_, problems_, {"data", "stages", "gates", "sweep"});
    recipe_.name = section.name;
    recipe_.seed = static_cast<uint64_t>(section.seed);
    if (root_["name"].is_scalar() && section.name.empty())
      problems_.add("'name' is empty", root_["name"].where());
    recipe_.model_where = root_["model"].where();
    if (section.model && section.model->starts_with("hf://"))
      recipe_.model = *section.model;
    else if (section.model)
      recipe_.model = path(root_["model"], *section.model).string();
    if (section.output)
      recipe_.output = path(root_["output"], *section.output);
    else if (!root_["output"].defined())
      problems_.add("missing key 'output'", root_.where(),
                    "name a run directory, or give --output DIR");
    if (section.budget && !section.budget->ram.empty()) {
      recipe_.ram_budget = parse_bytes(section.budget->ram);
      if (!recipe_.ram_budget)
        problems_.add("'" + section.budget->ram + "' is no amount of memory",
                      root_["budget"]["ram"].where(), "write 8G, 512M or a number of bytes");
    }
    evaluate_ = std::move(section.evaluate);
  }

  fs::path path(const Node& node, const std::string& text) {
    if (text.empty()) problems_.add("'" + node.path() + "' is empty", node.where());
    return composed_.absolute(node, text, problems_);
  }

  void data() {
    const Node entries = root_["data"];
    if (!entries.defined()) return;
    if (!entries.is_map()) return problems_.add("'data' must be a map of entries", entries.where());
    for (const auto& name : entries.keys()) {
      check_name(name, entries[name], problems_);
      if (entries[name].is_map())
        sections_[name] = parse_options<DataSection>(entries[name], problems_);
      else
        problems_.add("a data entry must be a map", entries[name].where(), "{path: FILE}");
    }
    for (const auto& name : entries.keys())
      if (sections_.contains(name)) recipe_.data.push_back(data_spec(name, entries[name]));
  }

  /// An entry with what it inherits; `open` are the entries on the way to it.
  DataSpec data_spec(const std::string& name, const Node& node, std::set<std::string> open = {}) {
    DataSpec spec;
    const DataSection& own = sections_[name];
    open.insert(name);
    if (own.from) {
      const Node from = node["from"];
      if (open.contains(*own.from))
        problems_.add("'" + *own.from + "' inherits from itself", from.where());
      else if (sections_.contains(*own.from))
        spec = data_spec(*own.from, root_["data"][*own.from], open);
      else if (!root_["data"][*own.from].defined())
        problems_.add("no data entry is called '" + *own.from + "'", from.where(),
                      suggest(*own.from, root_["data"].keys()));
    } else if (!node["path"].defined()) {
      problems_.add("missing key 'path'", node.where(), "or 'from', another entry to start from");
    }
    spec.name = name;
    spec.where = node.where();
    if (own.from) spec.from = *own.from;
    if (own.path) spec.path = path(node["path"], *own.path);
    const auto take = [](auto& value, const auto& given) {
      if (given) value = *given;
    };
    take(spec.format, own.format);
    take(spec.include, own.include);
    take(spec.field, own.field);
    take(spec.pair, own.pair);
    take(spec.label, own.label);
    take(spec.messages, own.messages);
    take(spec.split, own.split);
    take(spec.samples, own.samples);
    take(spec.length, own.length);
    take(spec.skip, own.skip);
    take(spec.take, own.take);
    return spec;
  }

  void stages() {
    const Node list = root_["stages"];
    if (!list.is_list() || list.size() == 0)
      return problems_.add("'stages' must be a list of at least one stage", list.where());
    for (size_t i = 0; i < list.size(); ++i) {
      const Node node = list.at(i);
      if (!node.is_map()) {
        problems_.add("a stage must be a map", node.where(), "{name: NAME, type: TYPE, …}");
        continue;
      }
      stage(node);
    }
  }

  void stage(const Node& node) {
    StageSpec spec;
    detail::Parser parser(node,
                          problems_);  // unknown keys are for the stage's own options to judge
    StageSection section;
    section.fields(parser);
    spec.name = section.name;
    spec.type = section.type;
    spec.options = node;
    spec.where = node.where();
    if (node["name"].is_scalar()) check_name(spec.name, node["name"], problems_);
    if (spec.name == "model")
      problems_.add("no stage can be called 'model': that is the recipe's model",
                    node["name"].where());
    if (const StageSpec* other = recipe_.find_stage(spec.name); other && !spec.name.empty())
      problems_.add("two stages are called '" + spec.name + "'", node["name"].where(),
                    "the other: " + other->where);
    spec.from = recipe_.stages.empty() ? "model" : recipe_.stages.back().name;
    if (node["from"].is_scalar()) {
      spec.from = section.from;
      check_model(section.from, node["from"], "must name an earlier stage or model");
    }
    recipe_.stages.push_back(std::move(spec));
  }

  /// `name` is a stage read so far, or model.
  void check_model(const std::string& name, const Node& node, const std::string& rule) {
    if (name == "model" || recipe_.find_stage(name)) return;
    std::vector<std::string> known = {"model"};
    for (const auto& stage : recipe_.stages)
      if (recipe_.find_stage(stage.name) == &stage) known.push_back(stage.name);
    problems_.add("'" + name + "': " + rule, node.where(), suggest(name, known));
  }

  void evaluate() {
    const Node node = root_["evaluate"];
    EvaluateSpec spec{evaluate_->data,        evaluate_->reference,
                      evaluate_->metrics,     evaluate_->models,
                      evaluate_->window,      {},
                      evaluate_->shots,       evaluate_->samples,
                      node.where(),           node,
                      evaluate_->activations, evaluate_->reference_top_k.value_or(0)};
    for (size_t i = 0; i < evaluate_->tasks.size(); ++i)
      task(evaluate_->tasks[i], node["tasks"].is_list() ? node["tasks"].at(i) : node["tasks"],
           spec);
    if (node["data"].is_scalar() && !recipe_.find_data(spec.data))
      problems_.add("no data entry is called '" + spec.data + "'", node["data"].where(),
                    suggest(spec.data, root_["data"].keys()));
    if (spec.reference == "none")
      spec.reference.clear();
    else
      check_model(spec.reference, node["reference"], "'reference' names a stage, model or none");
    for (size_t i = 0; i < spec.models.size(); ++i) {
      const Node item = node["models"].is_list() ? node["models"].at(i) : node["models"];
      check_model(spec.models[i], item, "'models' names stages or model");
      check_unique(spec.models, i, item);
    }
    for (size_t i = 0; i < spec.metrics.size(); ++i)
      check_unique(spec.metrics, i,
                   node["metrics"].is_list() ? node["metrics"].at(i) : node["metrics"]);
    recipe_.evaluate = std::move(spec);
  }

  void task(const std::string& text, const Node& node, EvaluateSpec& spec) {
    TaskSpec task;
    task.where = node.where();
    const size_t sign = text.find('=');
    if (sign != std::string::npos) task.name = task.kind = text.substr(0, sign);
    task.path = path(node, sign == std::string::npos ? text : text.substr(sign + 1));
    if (sign == std::string::npos) task.name = task.path.stem().string();
    for (const auto& other : spec.tasks)
      if (other.name == task.name)
        problems_.add("two tasks are called '" + task.name + "'", node.where(), "write NAME=FILE");
    spec.tasks.push_back(std::move(task));
  }

  void check_unique(const std::vector<std::string>& names, size_t i, const Node& node) {
    if (std::find(names.begin(), names.begin() + static_cast<long>(i), names[i]) !=
        names.begin() + static_cast<long>(i))
      problems_.add("'" + names[i] + "' is listed twice", node.where());
  }

  void gates() {
    const Node gates = root_["gates"];
    if (!gates.defined()) return;
    if (!gates.is_map())
      return problems_.add("'gates' must be a map: model -> {metric: bound}", gates.where());
    for (const auto& model : gates.keys()) {
      const Node bounds = gates[model];
      check_model(model, bounds, "gates are for stages or model");
      if (!bounds.is_map() || bounds.keys().empty())
        problems_.add("a gate must be a map {metric: bound}", bounds.where());
      for (const auto& metric : bounds.keys())
        if (const auto bound = bounds[metric].number(problems_))
          recipe_.gates.push_back({model, metric, *bound, bounds[metric].where()});
    }
  }

  const ComposedRecipe& composed_;
  Node root_;  // with a sweep's variants in the place of its stages
  Problems& problems_;
  Recipe recipe_;
  std::optional<EvaluateSection> evaluate_;
  std::map<std::string, DataSection> sections_;
};

/// The tree with absolute paths, as it is kept in the run directory.
std::string resolve(Node root, const Recipe& recipe) {
  if (root["model"].defined()) root["model"].set_text(recipe.model);
  root["output"].set_text(recipe.output.string());
  for (const auto& entry : recipe.data)
    if (Node path = root["data"][entry.name]["path"]; path.defined())
      path.set_text(entry.path.string());
  const Node tasks = root["evaluate"]["tasks"];
  if (recipe.evaluate)
    for (size_t i = 0; i < recipe.evaluate->tasks.size(); ++i) {
      const TaskSpec& task = recipe.evaluate->tasks[i];
      Node item = tasks.is_list() ? tasks.at(i) : tasks;
      item.set_text((task.kind.empty() ? "" : task.kind + "=") + task.path.string());
    }
  return root.dump();
}

/// A recipe of another format can't be judged by this one's rules.
bool right_format(const Node& root, Problems& problems) {
  const Node format = root["attar"];
  Problems unused;
  const auto number = format.is_scalar() ? format.integer(unused) : std::nullopt;
  if (!number || *number == 1) return true;
  problems.add("recipe format " + std::to_string(*number) + " is not known", format.where(),
               "this attar (" ATTAR_VERSION ") reads format 1");
  return false;
}

}  // namespace

const DataSpec* Recipe::find_data(const std::string& entry) const {
  const auto found = std::find_if(data.begin(), data.end(),
                                  [&](const DataSpec& spec) { return spec.name == entry; });
  return found == data.end() ? nullptr : &*found;
}

const StageSpec* Recipe::find_stage(const std::string& stage) const {
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [&](const StageSpec& spec) { return spec.name == stage; });
  return found == stages.end() ? nullptr : &*found;
}

Recipe parse_recipe(const std::string& text, const std::string& file_name, const fs::path& base,
                    const std::vector<std::string>& overrides,
                    const std::optional<fs::path>& output, Problems& problems) {
  const auto composed = compose_recipe(text, file_name, base, overrides, output, problems);
  Recipe recipe;
  if (!composed.root.is_map()) {
    if (problems.empty())
      problems.add("a recipe must be a map of keys", file_name, "begin with 'attar: 1'");
  } else if (right_format(composed.root, problems)) {
    recipe = Reader(composed, problems).read();
    if (problems.empty()) {
      recipe.resolved_yaml = resolve(composed.root, recipe);
      recipe.sha256 = sha256(recipe.resolved_yaml);
    }
  }
  recipe.file = fs::absolute(base) / fs::path(file_name).filename();
  return recipe;
}

Recipe load_recipe(const fs::path& file, const std::vector<std::string>& overrides,
                   const std::optional<fs::path>& output, Problems& problems) {
  try {
    return parse_recipe(read_text(file), file.string(), fs::absolute(file).parent_path(), overrides,
                        output, problems);
  } catch (const Error& error) {
    problems.add(std::string("cannot read the recipe: ") + error.what(), error.where(),
                 error.hint());
    return {};
  }
}

std::optional<uint64_t> parse_bytes(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc() || !(value >= 0)) return std::nullopt;
  const std::string unit(rest, end);
  static const std::map<std::string, double> kUnits = {{"", 1.0},     {"k", 0x1p10}, {"K", 0x1p10},
                                                       {"M", 0x1p20}, {"G", 0x1p30}, {"T", 0x1p40}};
  const auto found = kUnits.find(unit);
  if (found == kUnits.end()) return std::nullopt;
  const double bytes = value * found->second;
  if (!(bytes < 0x1p63) || bytes != std::floor(bytes)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

}  // namespace attar
