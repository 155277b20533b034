// The recipe inside the program, so that a first run needs no file and no download.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/recipe/recipe.h"

namespace attar {

inline constexpr std::string_view kQuickstart = "builtin:quickstart";

namespace assets {
/// recipes/quickstart.yaml as it was when the program was built.
std::string_view quickstart_yaml();
}  // namespace assets

/// load_recipe for what a command line names: a file, or kQuickstart, whose relative paths are
/// relative to the working directory.
Recipe load_named_recipe(const std::string& name, const std::vector<std::string>& overrides,
                         const std::optional<std::filesystem::path>& output, Problems& problems);

}  // namespace attar
