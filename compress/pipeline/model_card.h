// README.md of an emitted model: what it is, what it was made from and how, what is known of its
// quality, what did not go as asked.
#pragma once

#include <filesystem>
#include <string>

#include "compress/pipeline/report.h"

namespace attar {

/// The card of the model that `stage` of the report made. `base` is the directory of the recipe's
/// model ("" without one): its card's licence line is carried over, and its name; private paths are
/// not written.
std::string render_model_card(const RunReport& report, const StageRow& stage,
                              const std::filesystem::path& base);

/// Puts the card into a model directory. A README.md that attar did not write, or that somebody
/// changed since, stays as it is: returns false then.
bool write_model_card(const std::string& card, const std::filesystem::path& model_directory);

}  // namespace attar
