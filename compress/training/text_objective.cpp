#include "compress/training/text_objective.h"

#include <algorithm>
#include <numeric>

#include "compress/base/error.h"
#include "compress/training/batches.h"

namespace attar {
namespace {

int64_t pad_of(const TrainableModel& model) {
  return model.spec().pad_id.value_or(0);
}

}  // namespace

ModelInput text_batch(const TokenWindows& texts, std::span<const int64_t> examples,
                      int64_t pad_id) {
  const int64_t count = std::ssize(examples);
  int64_t longest = 0;
  for (const int64_t w : examples) longest = std::max(longest, std::ssize(texts.at(w)));
  ModelInput input(at::full({count, longest}, pad_id, at::kLong),
                   at::zeros({count, longest}, at::kLong), at::empty({count}, at::kLong));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t w = examples[static_cast<size_t>(i)];
    const auto ids = texts.at(w);
    std::copy(ids.begin(), ids.end(), input.ids.data_ptr<int64_t>() + i * longest);
    if (!texts.types.empty())
      std::copy_n(texts.types.begin() + texts.start(w), ids.size(),
                  input.token_types.data_ptr<int64_t>() + i * longest);
    input.lengths.data_ptr<int64_t>()[i] = std::ssize(ids);
  }
  return input;
}

std::optional<double> EncoderObjective::held_out(int64_t batch) {
  if (!validation_) return {};
  const at::NoGradGuard no_grad;
  const int64_t count = validation_->count();
  const auto sum = [&](std::span<const int64_t> examples) { return held_out_loss(examples); };
  return sum_in_batches(count, batch, sum) / static_cast<double>(count);
}

ModelInput EncoderObjective::probe() const {
  return text_batch(texts_.texts, first_examples(*this), pad_of(model_));
}

nlohmann::ordered_json EncoderObjective::data_facts() const {
  return facts_of(texts_.texts, validation_ ? &validation_->texts : nullptr);
}

/// The loss's parts summed over a batch's outputs [B, width]; with `gradient` [B, width] (zeros)
/// scale · ∂/∂outputs is added to it.
std::vector<double> TextObjective::rows(const TextSet& texts, const Teacher& teacher,
                                        std::span<const int64_t> examples,
                                        const at::Tensor& outputs, float scale,
                                        at::Tensor* gradient) const {
  const at::NoGradGuard no_grad;
  at::Tensor taught;
  if (teacher.model)
    taught =
        teacher.model->pooled(text_batch(teacher.texts->texts, examples, pad_of(*teacher.model)))
            .contiguous();
  const at::Tensor found = outputs.detach().contiguous();
  const int64_t width = found.size(1);
  std::vector<double> sums(loss_.parts().size(), 0.0), values(sums.size());
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto row = static_cast<int64_t>(i) * width;
    LossInput input;
    input.vocab = width;
    if (!texts.labels.empty()) input.label = texts.labels[static_cast<size_t>(examples[i])];
    input.student = found.data_ptr<float>() + row;
    if (taught.defined()) input.teacher = taught.data_ptr<float>() + row;
    loss_.row(input, scale, gradient ? gradient->data_ptr<float>() + row : nullptr, values.data());
    for (size_t p = 0; p < sums.size(); ++p) sums[p] += values[p];
  }
  return sums;
}

std::vector<double> TextObjective::backward(std::span<const int64_t> examples, double scale,
                                            uint64_t dropout_seed) {
  const at::Tensor outputs =
      model_.pooled(text_batch(texts_.texts, examples, pad_of(model_)), dropout_seed);
  at::Tensor gradient = at::zeros(outputs.sizes(), at::kFloat);
  auto sums = rows(texts_, teacher_, examples, outputs, static_cast<float>(scale), &gradient);
  outputs.backward(gradient);
  return sums;
}

double TextObjective::held_out_loss(std::span<const int64_t> examples) {
  const at::Tensor outputs =
      model_.pooled(text_batch(validation_->texts, examples, pad_of(model_)));
  const auto parts = rows(*validation_, validation_teacher_, examples, outputs, 1, nullptr);
  const auto weights = loss_.weights();
  return std::inner_product(parts.begin(), parts.end(), weights.begin(), 0.0);
}

PairObjective::PairObjective(TrainableModel& model, const TextSet& pairs, const TextSet* validation,
                             int64_t batch)
    : EncoderObjective(model, pairs, validation) {
  if (std::min(batch, pairs.count()) < 2)
    throw bad_input("pairs are told apart from the others of their batch, and a batch has one",
                    "batch", "raise batch, or give more pairs");
}

at::Tensor PairObjective::loss(const TextSet& pairs, std::span<const int64_t> examples,
                               uint64_t dropout_seed) {
  constexpr double kScale = 20;
  const auto unit = [&](const TokenWindows& texts) {
    const at::Tensor v = model_.pooled(text_batch(texts, examples, pad_of(model_)), dropout_seed);
    return v / v.norm(2, 1, true).clamp_min(1e-12);
  };
  const at::Tensor a = unit(pairs.texts), b = unit(pairs.partners);
  at::Tensor same = at::zeros({a.size(0), b.size(0)}, at::kBool);
  for (size_t i = 0; i < examples.size(); ++i)
    for (size_t j = 0; j < examples.size(); ++j)
      if (i != j &&
          std::ranges::equal(pairs.partners.at(examples[i]), pairs.partners.at(examples[j])))
        same[static_cast<int64_t>(i)][static_cast<int64_t>(j)] = true;
  const at::Tensor scores =
      (at::matmul(a, b.t()) * kScale).masked_fill(same, -std::numeric_limits<float>::infinity());
  return -at::log_softmax(scores, 1).diagonal().sum();
}

std::vector<double> PairObjective::backward(std::span<const int64_t> examples, double scale,
                                            uint64_t dropout_seed) {
  const at::Tensor sum = loss(texts_, examples, dropout_seed);
  (sum * scale).backward();
  return {sum.item<double>()};
}

double PairObjective::held_out_loss(std::span<const int64_t> examples) {
  return loss(*validation_, examples, 0).item<double>();
}

}  // namespace attar
