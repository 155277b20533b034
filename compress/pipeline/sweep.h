// What a sweep found: its grid beside the budget, and the model to take.
#pragma once

#include <nlohmann/json.hpp>

#include "compress/pipeline/report.h"
#include "compress/recipe/sweep.h"

namespace attar {

/// RunReport::sweep: every variant that was evaluated with its values and what it needs beyond the
/// budget, and among those within the budget the one that is best at the sweep's metric. Where
/// nothing fits, none is recommended, and the advice says which comes closest.
nlohmann::ordered_json sweep_report(const SweepSpec& sweep, const RunReport& report);

}  // namespace attar
