#include "quantize/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compress/base/random.h"

namespace attar {
namespace {

struct Total {
  double size = 0, loss = 0;
};
Total total_of(const std::vector<BudgetUnit>& units, const std::vector<size_t>& chosen) {
  Total total;
  for (size_t u = 0; u < units.size(); ++u) {
    total.size += units[u].choices[chosen[u]].size;
    total.loss += units[u].choices[chosen[u]].loss;
  }
  return total;
}

TEST(Budget, SpendsWhereItHelpsMost) {
  const std::vector<BudgetUnit> units = {
      {{"calm"}, {{3, 30, 0.2}, {4, 40, 0.1}, {8, 80, 0.0}}},
      {{"touchy"}, {{3, 30, 5.0}, {4, 40, 2.0}, {8, 80, 0.1}}},
  };
  EXPECT_EQ(fit_budget(units, 60), (std::vector<size_t>{0, 0}));
  EXPECT_EQ(fit_budget(units, 70), (std::vector<size_t>{0, 1}));
  EXPECT_EQ(fit_budget(units, 110), (std::vector<size_t>{0, 2}));
  EXPECT_EQ(fit_budget(units, 160), (std::vector<size_t>{2, 2}));
}

TEST(Budget, LeavesChoicesThatHelpNothing) {
  const std::vector<BudgetUnit> units = {
      {{"odd"}, {{3, 30, 1.0}, {4, 40, 1.5}, {8, 80, 1.0}}},  // more bits, no gain
      {{"fixed"}, {{8, 80, 0}}},
  };
  EXPECT_EQ(fit_budget(units, 1000), (std::vector<size_t>{0, 0}));
}

TEST(Budget, ComesWithinOneStepOfTheBest) {
  Random random(9);
  for (int round = 0; round < 50; ++round) {
    std::vector<BudgetUnit> units(5);
    for (BudgetUnit& unit : units) {
      const double weight = 1 + static_cast<double>(random.below(4)), harm = random.uniform();
      for (const int bits : {3, 4, 8})
        unit.choices.push_back({bits, bits * weight, harm * std::pow(4.0, -bits)});
    }
    const double size = 4.5 * 12;
    double least = 0;
    for (const BudgetUnit& unit : units) least += unit.choices[0].size;
    if (least > size) continue;
    const Total found = total_of(units, fit_budget(units, size));
    EXPECT_LE(found.size, size);
    double best = 1e9;  // of all 3⁵
    double largest_drop = 0;
    for (int code = 0; code < 243; ++code) {
      std::vector<size_t> chosen;
      for (int rest = code, u = 0; u < 5; ++u, rest /= 3)
        chosen.push_back(static_cast<size_t>(rest % 3));
      const Total total = total_of(units, chosen);
      if (total.size <= size) best = std::min(best, total.loss);
    }
    for (const BudgetUnit& unit : units)
      largest_drop = std::max(largest_drop, unit.choices[0].loss - unit.choices[1].loss);
    EXPECT_LE(found.loss, best + largest_drop);
  }
}

}  // namespace
}  // namespace attar
