#include "quantize/budget.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace attar {
namespace {

/// Indices of the choices on the lower convex hull of (size, loss), from the smallest on, with
/// falling loss and falling gain per bit.
std::vector<size_t> hull(const std::vector<BudgetUnit::Choice>& choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return choices[a].size != choices[b].size ? choices[a].size < choices[b].size
                                              : choices[a].loss < choices[b].loss;
  });
  const auto gain = [&](size_t from, size_t to) {
    return (choices[from].loss - choices[to].loss) / (choices[to].size - choices[from].size);
  };
  std::vector<size_t> result;
  for (const size_t next : order) {
    if (!result.empty() && (choices[next].size == choices[result.back()].size ||
                            !(choices[next].loss < choices[result.back()].loss)))
      continue;
    while (result.size() > 1 &&
           gain(result[result.size() - 2], result.back()) <= gain(result.back(), next))
      result.pop_back();
    result.push_back(next);
  }
  return result;
}

}  // namespace

std::vector<size_t> fit_budget(const std::vector<BudgetUnit>& units, double size) {
  struct Step {
    size_t unit, position;  // to that place on the unit's hull
    double gain, cost;
  };
  std::vector<std::vector<size_t>> hulls;
  std::vector<Step> steps;
  for (size_t u = 0; u < units.size(); ++u) {
    const auto& choices = units[u].choices;
    hulls.push_back(hull(choices));
    size -= choices[hulls[u].front()].size;
    for (size_t i = 1; i < hulls[u].size(); ++i) {
      const auto &from = choices[hulls[u][i - 1]], &to = choices[hulls[u][i]];
      const double cost = to.size - from.size;
      steps.push_back({u, i, (from.loss - to.loss) / cost, cost});
    }
  }
  assert(size >= 0);
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.gain > b.gain; });
  std::vector<size_t> position(units.size());
  for (const Step& step : steps) {  // of one unit they come in order: its gains fall
    if (step.position != position[step.unit] + 1 || step.cost > size) continue;
    position[step.unit] = step.position;
    size -= step.cost;
  }
  std::vector<size_t> chosen;
  for (size_t u = 0; u < units.size(); ++u) chosen.push_back(hulls[u][position[u]]);
  return chosen;
}

}  // namespace attar
