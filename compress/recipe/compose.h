// From a recipe's file to its final YAML tree: include, --set, --output, ${…}.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/node.h"

namespace attar {

/// A recipe's tree before anything is read from it.
struct ComposedRecipe {
  Node root;
  std::map<std::string, std::filesystem::path>
      bases;  // Node::file() -> folder of its relative paths

  /// A path written at `node`, absolute: relative paths belong to the folder of the file that wrote
  /// them, those of
  /// --set and --output to the current directory. Symbolic links to the last part are kept.
  std::filesystem::path absolute(const Node& node, const std::string& path,
                                 Problems& problems) const;
};

/// `include: file` or `include: [a, b]` merges those files below the file's own keys (maps key by
/// key, anything else as a whole; later files win over earlier ones). Then `overrides`
/// ("key.path=value") and `output` replace values; then `${key}` becomes the top-level value `key`
/// in every scalar. Mistakes go to `problems`; the root is no map when the text is none.
ComposedRecipe compose_recipe(const std::string& text, const std::string& file_name,
                              const std::filesystem::path& base,
                              const std::vector<std::string>& overrides,
                              const std::optional<std::filesystem::path>& output,
                              Problems& problems);

}  // namespace attar
