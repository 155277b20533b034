#include "quantize/encoder_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/pipeline/calibration.h"
#include "compress/runtime/encoder.h"

namespace attar {
namespace {

constexpr int64_t kTexts = 64;

using Row = std::span<const float>;

int64_t largest(Row logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

double divergence(Row p, Row q, LabelScores kind) {
  const auto a = label_scores(p, kind), b = label_scores(q, kind);
  const auto term = [](double x, double y) { return x > 0 ? x * std::log(x / y) : 0; };
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += kind == LabelScores::raw ? (a[i] - b[i]) * (a[i] - b[i]) : term(a[i], b[i]);
    if (kind == LabelScores::sigmoid) sum += term(1 - a[i], 1 - b[i]);
  }
  return sum;
}

double turned(Row x, Row y) {
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto a = static_cast<double>(x[i]), b = static_cast<double>(y[i]);
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return 1 - xy / std::sqrt(xx * yy);
}

}  // namespace

Check probe_encoder(const Model& model, const std::filesystem::path& directory,
                    const TokenWindows& texts, double bound) {
  const Model written = open_model(directory);
  const ModelSpec& spec = model.spec;
  const int64_t count = std::min(kTexts, texts.count());
  const auto before = streamed_results(spec, *model.weights, texts, count);
  const auto after = streamed_results(written.spec, *written.weights, texts, count);
  const size_t width = before.size() / static_cast<size_t>(count);
  const bool classifies = spec.task == Task::classify;
  double total = 0;
  int64_t same = 0;
  for (size_t at = 0; at < before.size(); at += width) {
    const Row p = Row(before).subspan(at, width), q = Row(after).subspan(at, width);
    total += classifies ? divergence(p, q, spec.label_scores) : turned(p, q);
    same += largest(p) == largest(q);
  }
  const double mean = total / static_cast<double>(count);
  const bool passed = std::isfinite(mean) && mean <= bound;
  if (!classifies)
    return {"probe", passed,
            fmt::format("1 − cosine {:.6f} on {} calibration texts (may be at most {})", mean,
                        count, bound)};
  return {"probe", passed,
          fmt::format("{} {:.5f}, the same label for {} of {} calibration texts ({} may be at most "
                      "{})",
                      spec.label_scores == LabelScores::raw ? "squared error" : "KL", mean, same,
                      count, spec.label_scores == LabelScores::raw ? "it" : "KL", bound)};
}

}  // namespace attar
