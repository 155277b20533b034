// A recipe made small: the same stages on a random model and a little data.
#pragma once

#include <filesystem>
#include <string>

#include "compress/architecture/model_spec.h"
#include "compress/pipeline/runner.h"
#include "compress/recipe/recipe.h"

namespace attar::cli {

/// Windows of a smoke run.
inline constexpr int64_t kSmokeWindow = 32;

/// Turns a valid recipe into a small one that works in `directory` (which exists): a random model
/// with the layers of the recipe's in place of it (its tokenizer stays), the beginning of each data
/// file, a few steps and windows, no gates, no budget. Throws bad_input for what cannot be had
/// without the real model, an adapter's directory say.
void shrink_recipe(Recipe& recipe, const Toolbox& tools, const std::filesystem::path& directory);

/// The chain that shows what a family can do, on the random model that is in `directory`/model and
/// on random ids: prune, distil, adapt, quantize, evaluate.
Recipe family_recipe(const std::filesystem::path& directory, const ModelSpec& spec);

}  // namespace attar::cli
