#include "compress/pipeline/builtin_recipe.h"

namespace attar {

Recipe load_named_recipe(const std::string& name, const std::vector<std::string>& overrides,
                         const std::optional<std::filesystem::path>& output, Problems& problems) {
  if (name != kQuickstart) return load_recipe(name, overrides, output, problems);
  return parse_recipe(std::string(assets::quickstart_yaml()), name, std::filesystem::current_path(),
                      overrides, output, problems);
}

}  // namespace attar
