// What the three renderings of a report share: its evaluation as one row a model, and how values
// are written for people. Not for machines: they read report.json.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/pipeline/report.h"

namespace attar::report {

/// One model of the evaluation. Points into the report, which must outlive it.
struct Model {
  std::string name;
  bool is_reference = false;                           // relative metrics of others refer to it
  const StageRow* stage = nullptr;                     // that made it, if any
  std::map<std::string, const EvaluationRow*> values;  // by metric; see metric_key

  const EvaluationRow* find(const std::string& metric) const;
  /// A finite value, or nothing.
  std::optional<double> value(const std::string& metric) const;
};

/// "perplexity", and "perplexity (llama_cpp)" for what is measured by another protocol than the
/// first row of that metric.
std::string metric_key(const std::vector<EvaluationRow>& rows, const EvaluationRow& row);

/// In order of appearance.
std::vector<Model> models_of(const RunReport& report);

/// A column of the table of models.
struct Column {
  std::string metric, title;
};
struct Columns {
  std::vector<Column> main;   // the known ones first, in a fixed order
  std::vector<Column> other;  // what only refines a main one: "kl_p90"
};
/// Those that any model has a value for.
Columns columns_of(const RunReport& report);

/// The model that a reader came for: the last one that is not the reference (the only one, if need
/// be); null without models.
const Model* final_model(const std::vector<Model>& models);
const Model* reference_model(const std::vector<Model>& models);

/// "12,345"
std::string with_commas(int64_t value);
/// `digits` significant digits without an exponent, down to 0.0001.
std::string significant(double value, int digits);
/// "4.1 MB", "99.31 %", "0.00700", "1,234": by the row's unit. Without the unit where it is a word.
std::string format_value(double value, std::string_view unit);
/// "± 0.43", half the width of the interval; "" without one.
std::string format_interval(const EvaluationRow& row);
/// "+1.21 % ± 0.2, p < 0.001": against the reference on the same windows or examples; "" where that
/// was not measured.
std::string format_paired(const EvaluationRow& row);
/// "12.3 s", "4 min 05 s", "2 h 11 min"
std::string format_seconds(double seconds);

/// A count of the whole report.
struct Checks {
  size_t passed = 0, failed = 0, fallbacks = 0;
};
Checks count_checks(const RunReport& report);

}  // namespace attar::report
