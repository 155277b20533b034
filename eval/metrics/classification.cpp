// Classifiers: accuracy, macro F1, the confusion matrix; agreement with a reference and the
// divergence of their probabilities.
#include <cmath>

#include "eval/encoder_results.h"
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

EvaluationRow text_row(const MetricInput& input, std::string metric, double value, std::string unit,
                       const std::optional<Interval>& interval) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = std::move(metric);
  row.protocol = "classify";
  row.value = value;
  row.unit = std::move(unit);
  row.n = input.results->count;
  row.details = input.scored.details;
  set_interval(row, interval, "texts");
  return row;
}

std::vector<double> hits(const EncoderResults& results) {
  std::vector<double> list;
  for (int64_t i = 0; i < results.count; ++i)
    list.push_back(results.choice(i) == results.labels.index[static_cast<size_t>(i)] ? 1 : 0);
  return list;
}

void measure_accuracy(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const auto own = hits(*input.results);
  rows.push_back(
      text_row(input, "accuracy", mean(own), "fraction", input.scored.bootstrap->of_mean(own)));
  rows.back().higher_is_better = true;
  const std::vector<double> ones(own.size(), 1);
  keep_units(rows.back(), own, ones, false);
  if (input.has_reference() && input.reference_results)
    rows.back().details["paired"] = paired(input.reference, *input.scored.bootstrap, own,
                                           hits(*input.reference_results), ones, false);
}

/// Right, chosen and true texts of each label.
struct Counts {
  explicit Counts(size_t labels) : right(labels), chosen(labels), actual(labels) {}
  std::vector<double> right, chosen, actual;

  double f1(size_t label) const {
    const double sum = chosen[label] + actual[label];
    return sum == 0 ? 0 : 2 * right[label] / sum;
  }
  /// Mean over labels that are chosen or true somewhere; the others say nothing.
  double macro() const {
    double sum = 0, count = 0;
    for (size_t label = 0; label < right.size(); ++label)
      if (chosen[label] + actual[label] > 0) {
        sum += f1(label);
        ++count;
      }
    return count == 0 ? 0 : sum / count;
  }
  void add(int64_t choice, int64_t truth, double weight) {
    chosen[static_cast<size_t>(choice)] += weight;
    actual[static_cast<size_t>(truth)] += weight;
    if (choice == truth) right[static_cast<size_t>(truth)] += weight;
  }
};

std::vector<int64_t> choices(const EncoderResults& results) {
  std::vector<int64_t> list;
  for (int64_t i = 0; i < results.count; ++i) list.push_back(results.choice(i));
  return list;
}

void measure_f1(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const EncoderResults& results = *input.results;
  const size_t labels = results.spec.labels.size();
  const auto chosen = choices(results);
  const auto macro = [&](std::span<const int32_t> drawn) {
    Counts counts(labels);
    for (size_t i = 0; i < chosen.size(); ++i)
      counts.add(chosen[i], results.labels.index[i], drawn[i]);
    return counts.macro();
  };
  std::optional<Interval> interval;
  if (input.scored.bootstrap->possible())
    interval = Bootstrap::interval(
        input.scored.bootstrap->resample(
            1, [&](std::span<const int32_t> drawn, double* out) { *out = macro(drawn); }),
        1, 0);
  const std::vector<int32_t> once(chosen.size(), 1);
  rows.push_back(text_row(input, "f1_macro", macro(once), "fraction", interval));
  rows.back().higher_is_better = true;
  rows.back().details["averaged_over"] = "labels that are chosen or true somewhere";
}

void measure_confusion(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const EncoderResults& results = *input.results;
  const size_t labels = results.spec.labels.size();
  Counts counts(labels);
  std::map<std::pair<int64_t, int64_t>, int64_t> cells;
  int64_t wrong = 0;
  for (int64_t i = 0; i < results.count; ++i) {
    const int64_t choice = results.choice(i), truth = results.labels.index[static_cast<size_t>(i)];
    counts.add(choice, truth, 1);
    ++cells[{truth, choice}];
    wrong += choice != truth;
  }
  auto row = text_row(input, "wrong_labels", static_cast<double>(wrong), "texts", {});
  const auto ratio_of = [](double part, double whole) { return whole == 0 ? 0 : part / whole; };
  Json list = Json::array(), by_label = Json::array();
  for (const auto& [cell, count] : cells)
    list.push_back({{"true", results.spec.labels[static_cast<size_t>(cell.first)]},
                    {"chosen", results.spec.labels[static_cast<size_t>(cell.second)]},
                    {"texts", count}});
  for (size_t label = 0; label < labels; ++label)
    by_label.push_back({{"label", results.spec.labels[label]},
                        {"texts", counts.actual[label]},
                        {"precision", ratio_of(counts.right[label], counts.chosen[label])},
                        {"recall", ratio_of(counts.right[label], counts.actual[label])},
                        {"f1", counts.f1(label)}});
  row.details["confusion"] = std::move(list);
  row.details["labels"] = std::move(by_label);
  rows.push_back(std::move(row));
}

void measure_agreement(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  std::vector<double> agrees;
  for (int64_t i = 0; i < input.results->count; ++i)
    agrees.push_back(input.results->choice(i) == input.reference_results->choice(i) ? 1 : 0);
  rows.push_back(text_row(input, "top1_agreement", mean(agrees), "fraction",
                          input.scored.bootstrap->of_mean(agrees)));
  rows.back().higher_is_better = true;
  rows.back().reference = input.reference;
}

/// log p of each label by softmax.
std::vector<double> log_softmax(std::span<const float> logits) {
  double largest = -INFINITY, sum = 0;
  for (const float x : logits) largest = std::max(largest, static_cast<double>(x));
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  std::vector<double> result;
  for (const float x : logits) result.push_back(static_cast<double>(x) - largest - std::log(sum));
  return result;
}

/// log p and log (1 − p) of a label by itself, by sigmoid.
std::pair<double, double> log_sigmoid(double x) {
  const double rest = std::log1p(std::exp(-std::abs(x)));
  return x > 0 ? std::pair(-rest, -x - rest) : std::pair(x - rest, -rest);
}

double divergence(std::span<const float> p, std::span<const float> q, LabelScores kind) {
  double sum = 0;
  if (kind == LabelScores::softmax) {
    const auto log_p = log_softmax(p), log_q = log_softmax(q);
    for (size_t i = 0; i < log_p.size(); ++i) sum += std::exp(log_p[i]) * (log_p[i] - log_q[i]);
    return std::max(sum, 0.0);
  }
  for (size_t i = 0; i < p.size(); ++i) {
    const auto [yes, no] = log_sigmoid(static_cast<double>(p[i]));
    const auto [other_yes, other_no] = log_sigmoid(static_cast<double>(q[i]));
    sum += std::exp(yes) * (yes - other_yes) + std::exp(no) * (no - other_no);
  }
  return std::max(sum, 0.0);
}

void measure_kl(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const LabelScores kind = input.results->spec.label_scores;
  if (kind == LabelScores::raw) return;  // a number, no probabilities
  std::vector<double> values;
  for (int64_t i = 0; i < input.results->count; ++i)
    values.push_back(divergence(input.reference_results->row(i), input.results->row(i), kind));
  rows.push_back(
      text_row(input, "kl_mean", mean(values), "nats", input.scored.bootstrap->of_mean(values)));
  rows.back().reference = input.reference;
}

}  // namespace

Metric accuracy_metric() {
  return {"accuracy",      "classifiers: share of texts that get their label",
          "fraction",      true,
          Needs::labels,   {"accuracy"},
          measure_accuracy};
}

Metric f1_metric() {
  return {"f1_macro",    "classifiers: F1 of each label, averaged",
          "fraction",    true,
          Needs::labels, {"f1_macro"},
          measure_f1};
}

Metric confusion_metric() {
  return {"confusion",      "classifiers: which labels are taken for which",
          "texts",          false,
          Needs::labels,    {"wrong_labels"},
          measure_confusion};
}

Metric label_agreement_metric() {
  Metric metric{"agreement",      "classifiers: share of texts that get the reference's label",
                "fraction",       true,
                Needs::classes,   {"top1_agreement"},
                measure_agreement};
  metric.relative = true;
  return metric;
}

Metric class_kl_metric() {
  Metric metric{"class_kl",
                "classifiers: KL divergence of the labels' probabilities from the reference's",
                "nats",
                false,
                Needs::classes,
                {"kl_mean"},
                measure_kl};
  metric.relative = true;
  return metric;
}

}  // namespace attar::eval
