#include "distill/distill_loss.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/base/float_types.h"

namespace attar::distill {
namespace {

struct Distribution {
  std::vector<float> log_p, p;

  void compute(const float* logits, int64_t vocab, float temperature) {
    log_p.resize(static_cast<size_t>(vocab));
    p.resize(static_cast<size_t>(vocab));
    log_softmax(logits, vocab, temperature, log_p.data(), p.data());
  }

  /// From what was kept of a teacher. How the ids that were not kept share their probability is not
  /// known: they share it as the student `q` does, both at this temperature. Every f-divergence of
  /// the two is then that over the kept ids and one event for all others, and so is its gradient
  /// with p held fixed: Σ q f(r) over the others, where p = r q, has the derivative f(r) − r f'(r)
  /// with respect to each q, and the one event's q f(p / q) has the same.
  void complete(const TopRow& kept, const Distribution& q, float temperature);
};

void Distribution::complete(const TopRow& kept, const Distribution& q, float temperature) {
  log_p = q.log_p;
  p = q.p;
  for (const int32_t id : kept.ids) p[static_cast<size_t>(id)] = 0;
  double q_rest = 0, named = 0;
  for (const float value : p) q_rest += static_cast<double>(value);
  for (const uint16_t bits : kept.log_p) named += std::exp(from_float16(bits) / temperature);
  const double rest =
      std::exp(static_cast<double>(temperature == 1.0f ? kept.log_rest : kept.log_rest_softened));
  // A student that gives the others nothing at all would make the ratio infinite.
  const double ratio = rest / std::max(q_rest, 1e-37);
  const auto factor = static_cast<float>(ratio), summand = static_cast<float>(std::log(ratio));
  if (rest > 0)
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] *= factor;
      log_p[i] += summand;
    }
  const double scale = std::log((1 - rest) / named);
  for (size_t i = 0; i < kept.ids.size(); ++i) {
    const auto id = static_cast<size_t>(kept.ids[i]);
    log_p[id] = static_cast<float>(from_float16(kept.log_p[i]) / temperature + scale);
    p[id] = std::exp(log_p[id]);
  }
}

}  // namespace

DistillLoss::DistillLoss(const DistillOptions& options)
    : temperature_(static_cast<float>(options.temperature)),
      jsd_beta_(static_cast<float>(options.jsd_beta)),
      skew_alpha_(static_cast<float>(options.skew_alpha)) {
  for (size_t i = 0; i < losses().size(); ++i) {
    const double weight = options.loss->weights[i];
    if (weight == 0) continue;
    terms_.push_back({&losses()[i], weight});
    label_ = label_ || losses()[i].needs == LossNeeds::label;
    distributions_ = distributions_ || losses()[i].needs == LossNeeds::distributions;
  }
}

std::vector<std::string> DistillLoss::parts() const {
  std::vector<std::string> names;
  for (const Term& term : terms_) names.emplace_back(term.info->name);
  return names;
}

std::vector<double> DistillLoss::weights() const {
  std::vector<double> weights;
  for (const Term& term : terms_) weights.push_back(term.weight);
  return weights;
}

bool DistillLoss::needs_teacher() const {
  return std::any_of(terms_.begin(), terms_.end(),
                     [](const Term& term) { return term.info->needs_teacher(); });
}

void DistillLoss::require_fit(bool vectors, const std::string& where) const {
  for (const Term& term : terms_)
    if ((term.info->needs == LossNeeds::vectors) != vectors)
      throw bad_input(fmt::format("the loss '{}' does not fit this model", term.info->name), where,
                      vectors ? "an embedder gives vectors: loss: {cosine: 1}"
                              : "cosine compares an embedder's vectors; logits have kl, ce and "
                                "others, see `attar list losses`");
}

void DistillLoss::row(const LossInput& input, float scale, float* grad, double* values) const {
  thread_local Distribution student, student_at_one, teacher;
  thread_local std::vector<float> ignored;
  const bool at_one = temperature_ == 1.0f;  // then one distribution of the student serves both
  LossRow row;
  row.vocab = input.vocab;
  row.label = input.label;
  row.temperature = temperature_;
  row.jsd_beta = jsd_beta_;
  row.skew_alpha = skew_alpha_;
  row.student = input.student;
  row.teacher = input.teacher;
  if (distributions_ || at_one) {
    student.compute(input.student, input.vocab, temperature_);
    row.log_q = student.log_p.data();
    row.q = student.p.data();
  }
  if (distributions_) {
    if (input.kept)
      teacher.complete(*input.kept, student, temperature_);
    else
      teacher.compute(input.teacher, input.vocab, temperature_);
    row.log_p = teacher.log_p.data();
    row.p = teacher.p.data();
  }
  if (label_ && !at_one) student_at_one.compute(input.student, input.vocab, 1.0f);
  const Distribution& labelled = at_one ? student : student_at_one;
  if (label_) {
    row.log_q1 = labelled.log_p.data();
    row.q1 = labelled.p.data();
  }
  if (!grad) {
    ignored.assign(static_cast<size_t>(input.vocab), 0.0f);
    grad = ignored.data();
  }
  for (size_t i = 0; i < terms_.size(); ++i)
    values[i] = terms_[i].info->row(row, scale * static_cast<float>(terms_[i].weight), grad);
}

}  // namespace attar::distill
