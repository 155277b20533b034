#include "compress/data/overlap.h"

#include <algorithm>
#include <set>
#include <vector>

#include "compress/base/random.h"

namespace attar {
namespace {

constexpr uint64_t kBase = 0x9e3779b97f4a7c15;  // odd, so that its powers never vanish modulo 2^64

uint64_t term(int32_t id) {  // ids are small and alike; their bits are spread first
  return Random(static_cast<uint64_t>(id)).next();
}

/// Calls f(start, hash) for every run of `run` ids, by a rolling polynomial.
template <class F>
void for_runs(std::span<const int32_t> ids, int64_t run, F f) {
  const auto size = std::ssize(ids);
  if (size < run) return;
  uint64_t leaving = 1, hash = 0;  // kBase^(run − 1)
  for (int64_t i = 1; i < run; ++i) leaving *= kBase;
  for (int64_t i = 0; i < size; ++i) {
    if (i >= run) hash -= term(ids[static_cast<size_t>(i - run)]) * leaving;
    hash = hash * kBase + term(ids[static_cast<size_t>(i)]);
    if (i + 1 >= run) f(i + 1 - run, hash);
  }
}

}  // namespace

Overlap find_overlap(const TokenWindows& windows, const TokenWindows& other, int64_t run) {
  std::vector<uint64_t> known;
  for (int64_t w = 0; w < other.count(); ++w)
    for_runs(other.at(w), run, [&](int64_t, uint64_t hash) { known.push_back(hash); });
  std::sort(known.begin(), known.end());

  Overlap overlap;
  std::set<std::vector<int32_t>> seen;
  for (int64_t w = 0; w < windows.count(); ++w) {
    const auto ids = windows.at(w);
    overlap.tokens += std::ssize(ids);
    overlap.repeated += !seen.emplace(ids.begin(), ids.end()).second;
    int64_t counted = 0;  // ids before this one are done with
    for_runs(ids, run, [&](int64_t start, uint64_t hash) {
      if (!std::binary_search(known.begin(), known.end(), hash)) return;
      overlap.shared += start + run - std::max(counted, start);
      counted = start + run;
    });
  }
  return overlap;
}

}  // namespace attar
