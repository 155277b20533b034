// Embedders: retrieval among the texts themselves, rank correlation with scores of pairs, and how
// far vectors are from a reference's.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/kernels/matmul.h"
#include "eval/encoder_results.h"
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

constexpr std::array<int64_t, 3> kRanks = {1, 5, 10};
constexpr std::array kRecallNames = {"recall_at_1", "recall_at_5", "recall_at_10"};

EvaluationRow text_row(const MetricInput& input, std::string metric, double value,
                       const std::optional<Interval>& interval) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = std::move(metric);
  row.protocol = "embed";
  row.value = value;
  row.unit = "fraction";
  row.n = input.results->count;
  row.higher_is_better = true;
  row.details = input.scored.details;
  set_interval(row, interval, "texts");
  return row;
}

/// Cosines of every query with every document, some queries at a time: use(query, cosines).
template <class Use>
void for_cosines(const std::vector<float>& queries, const std::vector<float>& documents,
                 int64_t width, const Use& use) {
  constexpr int64_t kQueries = 64;
  const int64_t count = std::ssize(queries) / width, others = std::ssize(documents) / width;
  const PackedMatrix packed = PackedMatrix::pack(
      DenseTensor{DType::f32, {others, width}, std::as_bytes(std::span(documents)), nullptr});
  std::vector<float> cosines(static_cast<size_t>(kQueries * others));
  for (int64_t begin = 0; begin < count; begin += kQueries) {
    const int64_t batch = std::min(kQueries, count - begin);
    matmul(queries.data() + begin * width, batch, packed, cosines.data());
    parallel_for(batch, 4, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i)
        use(begin + i, std::span(cosines).subspan(static_cast<size_t>(i * others),
                                                  static_cast<size_t>(others)));
    });
  }
}

/// The rank of the best relevant document of each query, from 0: how many others are more similar
/// (or as similar and stand before it); the number of documents where none is relevant.
std::vector<int64_t> best_ranks(const MetricInput& input) {
  const EncoderResults& results = *input.results;
  const auto& rows = input.texts->rows;
  const bool pairs = input.texts->pairs;
  std::map<std::string_view, int64_t> known;
  std::vector<int64_t> kinds;  // equal where texts belong together
  for (const LabelledText& row : rows)
    kinds.push_back(
        known.emplace(pairs ? *row.second : row.label, std::ssize(known)).first->second);
  const auto relevant = [&](size_t query, size_t document) {
    return kinds[query] == kinds[document] && (pairs || query != document);
  };
  std::vector<int64_t> ranks(rows.size());
  for_cosines(results.values, pairs ? results.second : results.values, results.width,
              [&](int64_t index, std::span<const float> cosines) {
                const auto query = static_cast<size_t>(index);
                size_t best = cosines.size();
                for (size_t d = 0; d < cosines.size(); ++d)
                  if (relevant(query, d) && (best == cosines.size() || cosines[d] > cosines[best]))
                    best = d;
                int64_t rank = 0;
                if (best == cosines.size()) {
                  rank = std::ssize(cosines);
                } else {
                  for (size_t d = 0; d < cosines.size(); ++d)
                    if (!relevant(query, d) && (pairs || d != query) &&
                        (cosines[d] > cosines[best] || (cosines[d] == cosines[best] && d < best)))
                      ++rank;
                }
                ranks[query] = rank;
              });
  return ranks;
}

void measure_recall(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const auto ranks = best_ranks(input);
  for (size_t k = 0; k < kRanks.size(); ++k) {
    std::vector<double> found;
    for (const int64_t rank : ranks) found.push_back(rank < kRanks[k] ? 1 : 0);
    rows.push_back(
        text_row(input, kRecallNames[k], mean(found), input.scored.bootstrap->of_mean(found)));
    rows.back().details["found"] = input.texts->pairs
                                       ? "a text's own second text among all second texts"
                                       : "a text of the same label among all other texts";
  }
}

/// Order of the values, and ranks in weighted samples of them.
class Ranking {
 public:
  explicit Ranking(std::vector<double> values)
      : values_(std::move(values)), order_(values_.size()) {
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::sort(order_.begin(), order_.end(),
              [&](size_t a, size_t b) { return values_[a] < values_[b]; });
  }
  /// Mean ranks (ties share theirs) where each value stands `drawn` times.
  std::vector<double> ranks(std::span<const int32_t> drawn) const {
    std::vector<double> result(values_.size());
    double before = 0;
    for (size_t i = 0; i < order_.size();) {
      size_t end = i;
      double weight = 0;
      for (; end < order_.size() && values_[order_[end]] == values_[order_[i]]; ++end)
        weight += drawn[order_[end]];
      for (; i < end; ++i) result[order_[i]] = before + (weight + 1) / 2;
      before += weight;
    }
    return result;
  }

 private:
  std::vector<double> values_;
  std::vector<size_t> order_;
};

/// Pearson's correlation with weights; 0 where one side does not vary.
double correlation(const std::vector<double>& x, const std::vector<double>& y,
                   std::span<const int32_t> drawn) {
  double n = 0, mean_x = 0, mean_y = 0, xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    n += drawn[i];
    mean_x += drawn[i] * x[i];
    mean_y += drawn[i] * y[i];
  }
  mean_x /= n;
  mean_y /= n;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += drawn[i] * (x[i] - mean_x) * (y[i] - mean_y);
    xx += drawn[i] * (x[i] - mean_x) * (x[i] - mean_x);
    yy += drawn[i] * (y[i] - mean_y) * (y[i] - mean_y);
  }
  return xx == 0 || yy == 0 ? 0 : xy / std::sqrt(xx * yy);
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

double score_of(const LabelledText& row) {
  double value = 0;
  const char *begin = row.label.data(), *end = begin + row.label.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value))
    throw bad_input("the score of the pair, \"" + row.label + "\", is no number", row.where);
  return value;
}

void measure_spearman(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const EncoderResults& results = *input.results;
  std::vector<double> scores, cosines;
  for (int64_t i = 0; i < results.count; ++i) {
    scores.push_back(score_of(input.texts->rows[static_cast<size_t>(i)]));
    cosines.push_back(dot(results.row(i), std::span(results.second)
                                              .subspan(static_cast<size_t>(i * results.width),
                                                       static_cast<size_t>(results.width))));
  }
  const Ranking given(std::move(scores)), found(std::move(cosines));
  const auto value = [&](std::span<const int32_t> drawn) {
    return correlation(given.ranks(drawn), found.ranks(drawn), drawn);
  };
  std::optional<Interval> interval;
  if (input.scored.bootstrap->possible())
    interval = Bootstrap::interval(
        input.scored.bootstrap->resample(
            1, [&](std::span<const int32_t> drawn, double* out) { *out = value(drawn); }),
        1, 0);
  const std::vector<int32_t> once(static_cast<size_t>(results.count), 1);
  rows.push_back(text_row(input, "spearman", value(once), interval));
  rows.back().unit = "";
  rows.back().details["correlated"] = "cosines of pairs with their scores, by rank";
}

void measure_cosine(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  std::vector<double> cosines;
  for (int64_t i = 0; i < input.results->count; ++i)
    cosines.push_back(dot(input.results->row(i), input.reference_results->row(i)));
  rows.push_back(
      text_row(input, "cosine_mean", mean(cosines), input.scored.bootstrap->of_mean(cosines)));
  rows.back().unit = "";
  rows.back().reference = input.reference;
  rows.back().details["smallest"] = *std::min_element(cosines.begin(), cosines.end());
}

}  // namespace

Metric recall_metric() {
  return {"recall",
          "embedders: whether a text of the same label, or a text's own partner, is among the k "
          "nearest",
          "fraction",
          true,
          Needs::neighbours,
          {kRecallNames[0], kRecallNames[1], kRecallNames[2]},
          measure_recall};
}

Metric spearman_metric() {
  return {"spearman",
          "embedders: rank correlation of cosines with the pairs' scores",
          "",
          true,
          Needs::similarity,
          {"spearman"},
          measure_spearman};
}

Metric cosine_metric() {
  Metric metric{"cosine",
                "embedders: cosine of each vector with the reference's",
                "",
                true,
                Needs::vectors,
                {"cosine_mean"},
                measure_cosine};
  metric.relative = true;
  return metric;
}

}  // namespace attar::eval
