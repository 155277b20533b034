// Gates: bounds on what the evaluation measured. A missed one ends the run with exit code 3, after
// the report is written.
#pragma once

#include <string>
#include <vector>

#include "compress/pipeline/report.h"
#include "compress/recipe/recipe.h"

namespace attar {

/// Gates name models of the recipe and something that its evaluation measures; `metrics` are all
/// known names.
void check_gates(const Recipe& recipe, const std::vector<std::string>& models,
                 const std::vector<std::string>& metrics, Problems& problems);

/// One sentence a missed gate. `recovery` is perplexity(reference) / perplexity(model), at least
/// the bound;
/// `<metric>_max` and `<metric>_min` bound a row's value. A gate whose row is absent is missed.
std::vector<std::string> missed_gates(const Recipe& recipe, const std::string& reference,
                                      const std::vector<EvaluationRow>& rows);

}  // namespace attar
