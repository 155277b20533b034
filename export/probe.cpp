#include "export/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/base/random.h"
#include "compress/runtime/encoder.h"
#include "compress/runtime/model.h"

namespace attar {
namespace {

constexpr int64_t kLength = 48;

/// Of an encoder: the classifier's, or the vector.
std::vector<float> logits_of(const Model& model, std::span<const int32_t> ids) {
  if (model.spec.task != Task::causal_lm) {
    const TextIds text{ids, {}};
    return EncoderModel::load(model)->run(std::span(&text, 1));
  }
  const auto runtime = RuntimeModel::load(model);
  std::vector<float> logits(ids.size() * static_cast<size_t>(model.spec.vocab));
  Session(runtime).advance_all(ids, logits.data());
  return logits;
}

double log_sum(std::span<const float> row) {
  const float top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float value : row) sum += std::exp(static_cast<double>(value - top));
  return static_cast<double>(top) + std::log(sum);
}

double divergence(std::span<const float> p, std::span<const float> q) {
  const double p_total = log_sum(p), q_total = log_sum(q);
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double log_p = static_cast<double>(p[i]) - p_total;
    kl += std::exp(log_p) * (log_p - (static_cast<double>(q[i]) - q_total));
  }
  return kl;
}

/// Vectors that no longer point the same way are of no use; how far is told.
Check probe_vectors(const Model& model, const Model& back, std::span<const int32_t> ids) {
  constexpr double kSame = 0.5;
  const auto before = logits_of(model, ids), after = logits_of(back, ids);
  double dot = 0, a = 0, b = 0;
  for (size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
    dot += static_cast<double>(before[i]) * static_cast<double>(after[i]);
    a += static_cast<double>(before[i]) * static_cast<double>(before[i]);
    b += static_cast<double>(after[i]) * static_cast<double>(after[i]);
  }
  const double cosine = dot / std::sqrt(a * b);
  return {"probe", before.size() == after.size() && cosine >= kSame,
          fmt::format("cosine {:.6f} to the model's vector on {} ids (at least {})", cosine,
                      ids.size(), kSame)};
}

}  // namespace

Check probe_exported(const Model& model, const std::filesystem::path& written, double max_kl) {
  const Model back = open_model(written);
  Random random(1);
  std::vector<int32_t> ids;
  const int64_t length = std::min({kLength, model.spec.max_positions, back.spec.max_positions});
  for (int64_t i = 0; i < length; ++i)
    ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(model.spec.vocab))));
  if (model.spec.task == Task::embed) return probe_vectors(model, back, ids);
  const auto before = logits_of(model, ids), after = logits_of(back, ids);
  if (after.size() != before.size())
    return {"probe", false,
            fmt::format("{} logits where the model has {}", after.size(), before.size())};
  const auto width = static_cast<size_t>(
      model.spec.task == Task::classify ? std::ssize(model.spec.labels) : model.spec.vocab);
  double kl = 0, worst = 0;
  for (size_t begin = 0; begin < before.size(); begin += width)
    kl +=
        divergence(std::span(before).subspan(begin, width), std::span(after).subspan(begin, width));
  for (size_t i = 0; i < before.size(); ++i)
    worst =
        std::max(worst, std::abs(static_cast<double>(before[i]) - static_cast<double>(after[i])));
  kl /= static_cast<double>(before.size() / width);
  return {
      "probe", std::isfinite(kl) && std::isfinite(worst) && kl <= max_kl,
      fmt::format("KL {:.6f} nats, logits differ by at most {:.2g} on {} ids (KL may be at most "
                  "{})",
                  kl, worst, ids.size(), max_kl)};
}

}  // namespace attar
