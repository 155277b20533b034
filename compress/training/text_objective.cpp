#include "compress/training/text_objective.h"

#include <algorithm>
#include <numeric>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/training/language.h"

namespace attar {
namespace {

std::vector<int64_t> from_to(int64_t begin, int64_t end) {
  std::vector<int64_t> all(static_cast<size_t>(end - begin));
  std::iota(all.begin(), all.end(), begin);
  return all;
}

int64_t pad_of(const TrainableModel& model) {
  return model.spec().pad_id.value_or(0);
}

/// Rows of the report for texts and, with `validation`, held-out ones.
nlohmann::ordered_json facts_of(const TextSet& texts, const TextSet* validation) {
  nlohmann::ordered_json facts = {{"data", to_json(texts.texts.facts)}};
  if (validation) facts["validation_data"] = to_json(validation->texts.facts);
  return facts;
}

ModelInput first_texts(const TrainableModel& model, const TextSet& texts) {
  constexpr int64_t kTexts = 2;
  return text_batch(texts.texts, from_to(0, std::min(kTexts, texts.count())), pad_of(model));
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

std::optional<double> TextObjective::held_out(int64_t batch) {
  if (!validation_) return {};
  const at::NoGradGuard no_grad;
  const auto weights = loss_.weights();
  double sum = 0;
  for (int64_t begin = 0; begin < validation_->count(); begin += batch) {
    check_interrupted();
    const auto examples = from_to(begin, std::min(begin + batch, validation_->count()));
    const at::Tensor outputs =
        model_.pooled(text_batch(validation_->texts, examples, pad_of(model_)));
    const auto parts = rows(*validation_, validation_teacher_, examples, outputs, 1, nullptr);
    sum += std::inner_product(parts.begin(), parts.end(), weights.begin(), 0.0);
  }
  return sum / static_cast<double>(validation_->count());
}

ModelInput TextObjective::probe() const {
  return first_texts(model_, texts_);
}

nlohmann::ordered_json TextObjective::data_facts() const {
  return facts_of(texts_, validation_);
}

PairObjective::PairObjective(TrainableModel& model, const TextSet& pairs, const TextSet* validation,
                             int64_t batch)
    : model_(model), pairs_(pairs), validation_(validation) {
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
  const at::Tensor sum = loss(pairs_, examples, dropout_seed);
  (sum * scale).backward();
  return {sum.item<double>()};
}

std::optional<double> PairObjective::held_out(int64_t batch) {
  if (!validation_) return {};
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (int64_t begin = 0; begin < validation_->count(); begin += batch) {
    check_interrupted();
    sum += loss(*validation_, from_to(begin, std::min(begin + batch, validation_->count())), 0)
               .item<double>();
  }
  return sum / static_cast<double>(validation_->count());
}

ModelInput PairObjective::probe() const {
  return first_texts(model_, pairs_);
}

nlohmann::ordered_json PairObjective::data_facts() const {
  return facts_of(pairs_, validation_);
}

}  // namespace attar
