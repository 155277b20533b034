#include "compress/recipe/compose.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/nearest.h"

namespace attar {
namespace {

/// Merges included files below a file's own keys.
class Includer {
 public:
  Includer(ComposedRecipe& recipe, Problems& problems) : recipe_(recipe), problems_(problems) {}

  /// `shown` is the file's name in messages, `real` the file itself (for cycles).
  void expand(Node& root, const std::string& shown, const fs::path& real) {
    open_.push_back(fs::weakly_canonical(real));
    recipe_.bases[shown] = real.parent_path();
    const Node list = root["include"];
    root.remove("include");
    std::vector<Node> files;
    if (list.is_list())
      for (size_t i = 0; i < list.size(); ++i) files.push_back(list.at(i));
    else if (list.defined())
      files.push_back(list);
    std::reverse(files.begin(), files.end());
    for (const Node& file : files) include(root, shown, real, file);
    open_.pop_back();
  }

 private:
  void include(Node& root, const std::string& shown, const fs::path& real, const Node& file) {
    const auto name = file.string(problems_);
    if (!name) return;
    const fs::path path = real.parent_path() / *name;
    if (std::find(open_.begin(), open_.end(), fs::weakly_canonical(path)) != open_.end())
      return problems_.add("'" + *name + "' is included by itself", file.where());
    const std::string included =
        (fs::path(shown).parent_path() / *name).lexically_normal().string();
    try {
      Node below = Node::parse(read_text(path), included, problems_);
      if (!below.is_map())
        return problems_.add("an included file must hold a map of recipe keys", file.where());
      expand(below, included, path);
      root.merge_below(below);
    } catch (const Error& error) {
      problems_.add(std::string("cannot include a file: ") + error.what(), file.where(),
                    "looked for " + path.lexically_normal().string());
    }
  }

  ComposedRecipe& recipe_;
  Problems& problems_;
  std::vector<fs::path> open_;
};

void apply_override(Node& root, const std::string& text, Problems& problems) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == text.npos)
    return problems.add("--set needs key.path=value, not '" + text + "'", {},
                        "for instance --set stages.student.steps=500");
  const std::string key = text.substr(0, equals);
  if (key == "include")
    return problems.add("--set cannot change what is included", "--set: include",
                        "set the included keys themselves");
  root.set(key, text.substr(equals + 1), problems);
}

/// Replaces ${key} by top-level scalars.
class Interpolator {
 public:
  Interpolator(const Node& root, Problems& problems) : root_(root), problems_(problems) {
    for (const auto& key : root.keys())
      if (root[key].is_scalar()) names_.push_back(key);
  }

  void run() {
    root_.for_each_scalar([this](Node& scalar) { expand(scalar); });
  }

 private:
  /// Expands `scalar` in place.
  void expand(Node& scalar) {
    const std::string text = *scalar.text();
    std::string out;
    size_t done = 0;
    for (size_t open = text.find("${"); open != text.npos; open = text.find("${", done)) {
      const size_t close = text.find('}', open);
      if (close == text.npos) return problems_.add("'${' without its '}'", scalar.where());
      out +=
          text.substr(done, open - done) + value(text.substr(open + 2, close - open - 2), scalar);
      done = close + 1;
    }
    if (done) scalar.set_text(out + text.substr(done));
  }

  std::string value(const std::string& key, const Node& user) {
    if (std::find(names_.begin(), names_.end(), key) == names_.end()) {
      problems_.add("'${" + key + "}' names no single value at the top of the recipe", user.where(),
                    suggest(key, names_));
      return {};
    }
    if (std::find(open_.begin(), open_.end(), key) != open_.end()) {
      problems_.add("'${" + key + "}' leads back to itself", user.where());
      return {};
    }
    open_.push_back(key);
    Node scalar = root_[key];
    expand(scalar);
    open_.pop_back();
    return *scalar.text();
  }

  const Node& root_;
  Problems& problems_;
  std::vector<std::string> names_, open_;
};

}  // namespace

fs::path ComposedRecipe::absolute(const Node& node, const std::string& path,
                                  Problems& problems) const {
  const auto base = bases.find(node.file());
  fs::path full = (base == bases.end() ? fs::current_path() : base->second) / path;
  if (!full.has_filename()) full = full.parent_path();
  std::error_code code;
  // a link's name may tell its format (…/model.gguf -> blob): only its folder is resolved
  const bool by_name = full.filename() != "." && full.filename() != "..";
  const fs::path resolved = by_name
                                ? fs::weakly_canonical(full.parent_path(), code) / full.filename()
                                : fs::weakly_canonical(full, code);
  if (code) problems.add("cannot find the place of this path: " + code.message(), node.where());
  if (path.find("${") == std::string::npos && resolved.string().find("${") != std::string::npos)
    problems.add("a folder cannot be called '${…': " + resolved.string(), node.where());
  return resolved;
}

ComposedRecipe compose_recipe(const std::string& text, const std::string& file_name,
                              const fs::path& base, const std::vector<std::string>& overrides,
                              const std::optional<fs::path>& output, Problems& problems) {
  ComposedRecipe recipe;
  recipe.root = Node::parse(text, file_name, problems);
  if (!recipe.root.is_map()) return recipe;
  Includer(recipe, problems).expand(recipe.root, file_name, base / fs::path(file_name).filename());
  for (const auto& override : overrides) apply_override(recipe.root, override, problems);
  if (output)
    recipe.root.set("output", nlohmann::json(output->string()).dump(), problems, "--output");
  Interpolator(recipe.root, problems).run();
  return recipe;
}

}  // namespace attar
