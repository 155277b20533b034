// Losses to take gradients of, and the comparison of every gradient with the plain form's.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "compress/training/head_loss.h"
#include "tests/model/reference_model.h"

namespace attar::testing {

/// What each prediction should be: the next id (the first one after the last); of encoders some
/// class of the texts from number `first` on.
inline at::Tensor labels_of(const ModelSpec& spec, const ModelInput& input, int64_t first = 0) {
  if (spec.task == Task::causal_lm) return input.ids.roll(-1, 1).reshape({-1});
  return (at::arange(input.ids.size(0)) + first)
      .remainder(std::max<int64_t>(1, spec.classifier.out));
}

/// Cross-entropy summed over the rows' means, of an embedder the sum of squares; times `scale`,
/// adds up the model's gradients.
inline double loss_of(TrainableModel& model, const ModelInput& input, double scale = 1,
                      int64_t first = 0) {
  const ModelSpec& spec = model.spec();
  const at::Tensor labels = labels_of(spec, input, first);
  if (spec.task == Task::causal_lm) {
    const at::Tensor hidden = model.hidden(input);
    const double each = scale / static_cast<double>(input.ids.size(1));
    const HeadLoss loss = head_loss(model, hidden, {}, labels, CrossEntropy(), each, true);
    hidden.backward(loss.gradient);
    return loss.parts[0] * each;
  }
  const at::Tensor out = model.pooled(input);
  const at::Tensor loss = scale * (spec.task == Task::classify
                                       ? at::cross_entropy_loss(out, labels, {}, at::Reduction::Sum)
                                       : out.square().sum());
  loss.backward();
  return loss.item<double>();
}

/// The same (scale 1) of the plain form's output.
inline at::Tensor reference_loss(const ModelSpec& spec, const at::Tensor& out,
                                 const ModelInput& input) {
  if (spec.task == Task::embed) return out.square().sum();
  const at::Tensor sum = at::cross_entropy_loss(out.reshape({-1, out.size(-1)}),
                                                labels_of(spec, input), {}, at::Reduction::Sum);
  return spec.task == Task::causal_lm ? sum / input.ids.size(1) : sum;
}

/// `relative`: how far a gradient may be off, for its size.
inline void expect_gradients_of_plain_form(TrainableModel& model, const ModelInput& input,
                                           const std::string& name, double relative = 5e-5) {
  const double loss = loss_of(model, input);
  const ReferenceModel reference(model.spec(), model.parameters());
  const at::Tensor expected_loss = reference_loss(model.spec(), reference.output(input), input);
  expected_loss.backward();
  EXPECT_NEAR(loss, expected_loss.item<double>(), 1e-5 * (1 + loss)) << name;
  const ParameterStore& store = model.parameters();
  const auto whole = store.flat_gradients().norm().item<double>();
  for (size_t i = 0; i < store.entries().size(); ++i) {
    const auto& entry = store.entries()[i];
    const at::Tensor got = store.gradient(static_cast<int64_t>(i));
    at::Tensor expected = reference.leaf(entry.name).grad();
    if (!expected.defined()) expected = at::zeros(got.sizes(), at::kDouble);  // an unused pooler
    // A bias of keys changes nothing: its gradient is 0 but for rounding.
    const auto size = expected.norm().item<double>();
    EXPECT_LT((got - expected).norm().item<double>(), relative * size + 1e-6 * whole)
        << name << ": " << entry.name << ", " << size << " of " << whole;
  }
}

}  // namespace attar::testing
