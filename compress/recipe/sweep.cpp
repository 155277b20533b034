#include "compress/recipe/sweep.h"

#include <algorithm>
#include <set>

#include "compress/base/nearest.h"
#include "compress/recipe/recipe.h"
#include "compress/recipe/sections.h"

namespace attar {
namespace {

constexpr size_t kMostVariants = 200;

/// Keys whose values name methods and formats: a stage of such a name can't be told from them.
const std::set<std::string> kKinds = {"type", "method", "scheme", "format", "criterion", "loss"};

/// The value as part of a name: "0.5" -> "0_5"; lists and maps by their number.
std::string name_part(const Node& value, size_t index) {
  const auto text = value.text();
  if (!text || text->empty()) return "v" + std::to_string(index + 1);
  std::string part = *text;
  for (char& c : part)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  return part;
}

struct Axis {
  std::string stage, key;  // key: below the stage
  std::vector<Node> values;
  std::vector<std::string> parts;  // of names
};

/// One value a axis, by index; for the axes that a stage depends on.
using Combination = std::map<size_t, size_t>;

class Expansion {
 public:
  Expansion(Node& root, Problems& problems)
      : root_(root), sweep_(root["sweep"]), problems_(problems) {}

  std::optional<SweepSpec> run() {
    SweepSpec spec;
    spec.where = sweep_.where();
    read_budget(spec);
    for (size_t i = 0; i < root_["stages"].size(); ++i) stages_.push_back(root_["stages"].at(i));
    read_axes();
    if (axes_.empty()) return spec;
    for (const auto& axis : axes_) {
      std::vector<std::string> texts;
      for (const auto& value : axis.values) texts.push_back(text_of(value));
      spec.axes.push_back({axis.stage, axis.key, texts});
    }
    expand_stages(spec);
    expand_evaluation();
    expand_gates();
    root_.remove("sweep");
    return spec;
  }

 private:
  static std::string text_of(const Node& value) {
    std::string text = value.dump();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  static std::string name_of(const Node& stage) { return stage["name"].text().value_or(""); }

  void read_budget(SweepSpec& spec) {
    const auto section = parse_options<SweepSection>(sweep_, problems_, {"over"});
    spec.metric = section.metric.value_or("");
    if (!section.budget) return;
    const auto bytes = [&](const std::optional<std::string>& text, const char* key) {
      const auto value = text ? parse_bytes(*text) : std::nullopt;
      if (text && !value)
        problems_.add("'" + *text + "' is no amount of bytes", sweep_["budget"][key].where(),
                      "write 8M, 512k or a number of bytes");
      return value;
    };
    spec.budget = {bytes(section.budget->bytes, "bytes"), bytes(section.budget->memory, "memory"),
                   section.budget->decode_tokens_per_s, section.budget->prefill_tokens_per_s};
  }

  void read_axes() {
    const Node over = sweep_["over"];
    if (!over.is_map() || over.keys().empty())
      return problems_.add("'over' must be a map: stage.option -> values", over.where(),
                           "{int4.group_size: [32, 128]}");
    std::vector<std::string> names;
    for (const auto& stage : stages_) names.push_back(name_of(stage));
    for (const auto& path : over.keys()) {
      const Node values = over[path];
      const size_t dot = path.find('.');
      Axis axis{path.substr(0, dot), dot == std::string::npos ? "" : path.substr(dot + 1), {}, {}};
      if (std::find(names.begin(), names.end(), axis.stage) == names.end()) {
        problems_.add("no stage is called '" + axis.stage + "'", values.where(),
                      suggest(axis.stage, names));
      } else if (axis.key.empty() || axis.key == "name" || axis.key == "type") {
        problems_.add("'" + path + "' names no option of a stage", values.where(),
                      "write stage.option: [values]");
      } else if (!values.is_list() || values.size() == 0) {
        problems_.add("'" + path + "' must be a list of values", values.where(), "[32, 128]");
      } else {
        add_axis(std::move(axis), values);
      }
    }
  }

  void add_axis(Axis axis, const Node& values) {
    std::set<std::string> seen;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!seen.insert(text_of(values.at(i))).second)
        problems_.add("'" + text_of(values.at(i)) + "' is listed twice", values.at(i).where());
      axis.values.push_back(values.at(i));
      axis.parts.push_back(name_part(values.at(i), i));
    }
    if (std::set(axis.parts.begin(), axis.parts.end()).size() < axis.parts.size())
      for (size_t i = 0; i < axis.parts.size(); ++i) axis.parts[i] = "v" + std::to_string(i + 1);
    axes_.push_back(std::move(axis));
  }

  /// The stage that stage number `i` starts from; "model" for the first.
  std::string parent(size_t i) const {
    if (const auto from = stages_[i]["from"].text()) return *from;
    return i == 0 ? "model" : name_of(stages_[i - 1]);
  }

  /// Calls use(scalar) for the options that name another stage.
  template <class Use>
  void each_reference(const Node& stage, const Use& use) const {
    stage.for_each_scalar([&](Node& scalar) {
      const auto text = scalar.text();
      const std::string key = scalar.key();
      if (!text || key == "name" || key == "from" || !axes_of_.contains(*text)) return;
      if (!axes_of_.at(*text).empty()) use(scalar, *text);
    });
  }

  void find_dependencies() {
    for (size_t i = 0; i < stages_.size(); ++i) {
      std::set<size_t> axes;
      for (size_t a = 0; a < axes_.size(); ++a)
        if (axes_[a].stage == name_of(stages_[i])) axes.insert(a);
      const auto inherit = [&](const std::string& stage) {
        const auto found = axes_of_.find(stage);
        if (found != axes_of_.end()) axes.insert(found->second.begin(), found->second.end());
      };
      inherit(parent(i));
      each_reference(stages_[i], [&](Node& scalar, const std::string& stage) {
        if (kKinds.contains(scalar.key()))
          problems_.add("'" + stage + "' is also the name of a swept stage", scalar.where(),
                        "rename the stage");
        inherit(stage);
      });
      axes_of_[name_of(stages_[i])] = std::move(axes);
    }
  }

  std::vector<Combination> combinations(const std::set<size_t>& axes) const {
    std::vector<Combination> all = {{}};
    for (const size_t axis : axes) {
      std::vector<Combination> longer;
      for (const auto& one : all)
        for (size_t v = 0; v < axes_[axis].values.size() && longer.size() <= kMostVariants; ++v) {
          longer.push_back(one);
          longer.back()[axis] = v;
        }
      all = std::move(longer);
    }
    return all;
  }

  /// What the stage is called in the variant with these values (and perhaps others).
  std::string variant(const std::string& stage, const Combination& combination) const {
    std::string name = stage;
    const auto axes = axes_of_.find(stage);
    if (axes == axes_of_.end()) return name;
    for (const size_t axis : axes->second) name += "-" + axes_[axis].parts[combination.at(axis)];
    return name;
  }

  void expand_stages(SweepSpec& spec) {
    find_dependencies();
    std::vector<Node> expanded;
    for (size_t i = 0; i < stages_.size(); ++i) {
      const std::string name = name_of(stages_[i]);
      for (const auto& combination : combinations(axes_of_[name])) {
        const std::string own = variant(name, combination);
        variants_[name].push_back(own);
        expanded.push_back(variant_node(i, combination, own));
        for (const auto& [axis, value] : combination)
          spec.settings[own].push_back(
              {axes_[axis].stage + "." + axes_[axis].key, text_of(axes_[axis].values[value])});
      }
      if (expanded.size() > kMostVariants)
        return problems_.add(
            "the sweep makes more than " + std::to_string(kMostVariants) + " models",
            sweep_.where(), "sweep fewer values");
    }
    root_["stages"].set_items(std::move(expanded));
  }

  Node variant_node(size_t i, const Combination& combination, const std::string& own) {
    Node node = stages_[i].clone();
    const std::string name = name_of(stages_[i]);
    each_reference(node, [&](Node& scalar, const std::string& stage) {
      scalar.set_text(variant(stage, combination));
    });
    // Also of the first stage: its second variant stands behind another.
    node.set("from", variant(parent(i), combination), problems_);
    for (const auto& [axis, value] : combination)
      if (axes_[axis].stage == name)
        node.set(axes_[axis].key, axes_[axis].values[value].dump(), problems_,
                 axes_[axis].values[value].where());
    node["name"].set_text(own);
    return node;
  }

  /// What became of a stage; nothing for any other name.
  std::vector<std::string> variants_of(const std::string& stage) const {
    const auto found = variants_.find(stage);
    return found == variants_.end() ? std::vector<std::string>() : found->second;
  }

  void expand_evaluation() {
    const Node evaluate = root_["evaluate"];
    const auto reference = evaluate["reference"].text();
    if (reference && variants_of(*reference).size() > 1)
      problems_.add("the reference '" + *reference + "' is swept: it must be one model",
                    evaluate["reference"].where(), "name the model or a stage before the sweep");
    const Node models = evaluate["models"];
    if (!models.defined()) return;
    std::vector<Node> names;
    const auto add = [&](const Node& item) {
      const auto name = item.text().value_or("");
      if (variants_of(name).empty()) return names.push_back(item);
      for (const auto& own : variants_of(name)) {
        names.push_back(item.clone());
        names.back().set_text(own);
      }
    };
    if (models.is_list())
      for (size_t i = 0; i < models.size(); ++i) add(models.at(i));
    else
      add(models);
    models.set_items(std::move(names));
  }

  void expand_gates() {
    Node gates = root_["gates"];
    for (const auto& name : gates.keys()) {
      const auto own_names = variants_of(name);
      if (own_names.empty() || own_names[0] == name) continue;
      const Node bounds = gates[name];
      for (const auto& own : own_names) gates.set(own, bounds.dump(), problems_, bounds.where());
      gates.remove(name);
    }
  }

  Node& root_;
  Node sweep_;
  Problems& problems_;
  std::vector<Node> stages_;
  std::vector<Axis> axes_;
  std::map<std::string, std::set<size_t>> axes_of_;           // stage -> the axes it depends on
  std::map<std::string, std::vector<std::string>> variants_;  // stage -> what became of it
};

}  // namespace

std::optional<SweepSpec> expand_sweep(Node& root, Problems& problems) {
  if (!root["sweep"].defined()) return std::nullopt;
  if (!root["sweep"].is_map()) {
    problems.add("'sweep' must be a map", root["sweep"].where(),
                 "{over: {stage.option: [values]}}");
    return std::nullopt;
  }
  if (!root["stages"].is_list()) return std::nullopt;  // the recipe's reader says so
  return Expansion(root, problems).run();
}

}  // namespace attar
