#include "distill/distill_loss.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"

namespace attar::distill {
namespace {

struct Distribution {
  std::vector<float> log_p, p;

  void compute(const float* logits, int64_t vocab, float temperature) {
    log_p.resize(static_cast<size_t>(vocab));
    p.resize(static_cast<size_t>(vocab));
    log_softmax(logits, vocab, temperature, log_p.data(), p.data());
  }
};

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
