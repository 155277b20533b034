#include "prune/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "compress/base/error.h"

namespace attar {

int64_t kept_count(double keep, int64_t units, int64_t multiple_of, const std::string& where) {
  assert(units >= 1 && multiple_of >= 1);
  if (!(keep > 0))
    throw bad_input(fmt::format("keep {} leaves nothing", keep), where,
                    fmt::format("give a fraction in (0, 1] or a count from 2 to {}", units));
  if (keep == 1) return units;
  if (keep > 1 && keep != std::floor(keep))
    throw bad_input(fmt::format("keep {} is neither a fraction nor a count", keep), where,
                    fmt::format("give a fraction in (0, 1] or a count from 2 to {}", units));
  if (keep > static_cast<double>(units))
    throw bad_input(fmt::format("cannot keep {} of {}", keep, units), where,
                    "pruning can only take away");
  const double wanted = keep < 1 ? keep * static_cast<double>(units) : keep;
  const double multiples = std::floor(wanted / static_cast<double>(multiple_of) + 0.5);
  if (keep < 1 && wanted < 0.5)
    throw bad_input(
        fmt::format("keep {} of {} leaves nothing", keep, units), where,
        fmt::format("the smallest share that keeps one is {}", 1.0 / static_cast<double>(units)));
  return std::min(units, std::max<int64_t>(1, static_cast<int64_t>(multiples)) * multiple_of);
}

std::vector<int64_t> highest(std::span<const double> scores, int64_t count) {
  assert(count >= 0 && count <= static_cast<int64_t>(scores.size()));
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace attar
