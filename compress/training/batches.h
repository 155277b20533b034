// Small pieces that objectives share: examples in order, sums over them, rows of the report.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "compress/base/process.h"
#include "compress/data/dataset.h"
#include "compress/training/objective.h"

namespace attar {

/// begin, begin + 1, … end − 1
inline std::vector<int64_t> consecutive_examples(int64_t begin, int64_t end) {
  std::vector<int64_t> all(static_cast<size_t>(end - begin));
  std::iota(all.begin(), all.end(), begin);
  return all;
}

/// The examples of Objective::probe().
inline std::vector<int64_t> first_examples(const Objective& objective) {
  constexpr int64_t kExamples = 2;
  return consecutive_examples(0, std::min(kExamples, objective.examples()));
}

/// Σ sum(examples) over 0 … count − 1, `batch` at a time. Throws Error(interrupted).
template <class Sum>
double sum_in_batches(int64_t count, int64_t batch, Sum sum) {
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += batch) {
    check_interrupted();
    total += sum(consecutive_examples(begin, std::min(begin + batch, count)));
  }
  return total;
}

/// Where the examples, and held-out ones if there are any, come from.
nlohmann::ordered_json facts_of(const TokenWindows& examples, const TokenWindows* validation);

}  // namespace attar
