#include "compress/pipeline/gates.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/nearest.h"

namespace attar {
namespace {

const EvaluationRow* find_row(const std::vector<EvaluationRow>& rows, const std::string& model,
                              const std::string& metric) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const EvaluationRow& r) {
    return r.model == model && r.metric == metric;
  });
  return row == rows.end() ? nullptr : &*row;
}

/// "kl_mean_max" -> "kl_mean"; "" when it ends in neither _max nor _min.
std::string bounded_metric(const std::string& gate) {
  return gate.ends_with("_max") || gate.ends_with("_min") ? gate.substr(0, gate.size() - 4)
                                                          : std::string();
}

/// Why the gate is missed; "" when it is met.
std::string objection(const Gate& gate, const std::string& reference,
                      const std::vector<EvaluationRow>& rows) {
  const std::string metric = gate.metric == "recovery" ? "perplexity" : bounded_metric(gate.metric);
  const EvaluationRow* row = find_row(rows, gate.model, metric);
  if (!row) return metric + " was not measured";
  if (gate.metric != "recovery") {
    const bool met =
        gate.metric.ends_with("_max") ? row->value <= gate.bound : row->value >= gate.bound;
    return met ? "" : fmt::format("{} is {:.6g}, bound {:.6g}", metric, row->value, gate.bound);
  }
  const EvaluationRow* base = find_row(rows, reference, metric);
  if (!base) return metric + " of the reference was not measured";
  const double recovery = base->value / row->value;
  return recovery >= gate.bound
             ? ""
             : fmt::format("recovery is {:.4f} (perplexity {:.4f}, reference {:.4f}), bound {:.6g}",
                           recovery, row->value, base->value, gate.bound);
}

}  // namespace

void check_gates(const Recipe& recipe, const std::vector<std::string>& models,
                 const std::vector<std::string>& metrics, Problems& problems) {
  const auto contains = [](const std::vector<std::string>& list, const std::string& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
  };
  for (const auto& gate : recipe.gates) {
    if (!recipe.evaluate) {
      problems.add("a gate needs an evaluation", gate.where, "add evaluate: to the recipe");
      continue;
    }
    const EvaluateSpec& e = *recipe.evaluate;
    const auto& evaluated = e.models.empty() ? models : e.models;
    if (!contains(evaluated, gate.model))
      problems.add("gate on '" + gate.model + "', which is not evaluated", gate.where,
                   suggest(gate.model, evaluated));
    if (gate.metric == "recovery") {
      if (!e.metrics.empty() && !contains(e.metrics, "perplexity"))
        problems.add("the gate 'recovery' needs the metric perplexity", gate.where,
                     "add it to evaluate.metrics");
      if (e.reference.empty() || (e.reference != "model" && !contains(evaluated, e.reference)))
        problems.add("the gate 'recovery' needs a reference that is evaluated", gate.where,
                     "set evaluate.reference and list it in evaluate.models");
    } else if (bounded_metric(gate.metric).empty()) {
      problems.add("unknown gate '" + gate.metric + "'", gate.where,
                   "known: recovery, <metric>_max, <metric>_min");
    } else if (const auto metric = bounded_metric(gate.metric); !contains(metrics, metric)) {
      problems.add("gate on the unknown metric '" + metric + "'", gate.where,
                   suggest(metric, metrics));
    }
  }
}

std::vector<std::string> missed_gates(const Recipe& recipe, const std::string& reference,
                                      const std::vector<EvaluationRow>& rows) {
  std::vector<std::string> missed;
  for (const auto& gate : recipe.gates)
    if (const auto why = objection(gate, reference, rows); !why.empty())
      missed.push_back(fmt::format("gate missed: {} {}: {}", gate.model, gate.metric, why));
  return missed;
}

}  // namespace attar
