#include "compress/training/language.h"

#include "compress/training/batches.h"
#include "compress/training/head_loss.h"

namespace attar {
namespace {

/// Inputs [count, T] and the ids that follow, [count · T].
struct Batch {
  at::Tensor ids, labels;
};

Batch make_batch(const TokenWindows& windows, std::span<const int64_t> examples) {
  const int64_t length = windows.window - 1, count = std::ssize(examples);
  Batch batch{at::empty({count, length}, at::kLong), at::empty({count * length}, at::kLong)};
  for (int64_t i = 0; i < count; ++i) {
    const auto ids = windows.at(examples[static_cast<size_t>(i)]);
    int64_t* inputs = batch.ids.data_ptr<int64_t>() + i * length;
    int64_t* labels = batch.labels.data_ptr<int64_t>() + i * length;
    for (int64_t t = 0; t < length; ++t) {
      inputs[t] = ids[static_cast<size_t>(t)];
      labels[t] = ids[static_cast<size_t>(t + 1)];
    }
  }
  return batch;
}

}  // namespace

std::vector<double> LanguageObjective::backward(std::span<const int64_t> examples, double scale,
                                                uint64_t dropout_seed) {
  const Batch batch = make_batch(windows_, examples);
  at::Tensor teacher_hidden;
  if (teacher_) {
    const at::NoGradGuard no_grad;
    teacher_hidden = teacher_->hidden(batch.ids);
  }
  const at::Tensor hidden = model_.hidden(batch.ids, dropout_seed);
  const HeadLoss loss =
      head_loss(model_, hidden, teacher_, teacher_hidden, batch.labels, loss_, scale, true);
  hidden.backward(loss.gradient);
  return loss.parts;
}

std::optional<double> LanguageObjective::held_out(int64_t batch) {
  if (!validation_) return {};
  return held_out_loss(model_, *validation_, batch);
}

ModelInput LanguageObjective::probe() const {
  return make_batch(windows_, first_examples(*this)).ids;
}

nlohmann::ordered_json LanguageObjective::data_facts() const {
  return facts_of(windows_, validation_);
}

double held_out_loss(TrainableModel& model, const TokenWindows& windows, int64_t batch) {
  const at::NoGradGuard no_grad;
  const CrossEntropy loss;
  const auto sum = [&](std::span<const int64_t> examples) {
    const Batch part = make_batch(windows, examples);
    return head_loss(model, model.hidden(part.ids), nullptr, {}, part.labels, loss, 1, false)
        .parts[0];
  };
  return sum_in_batches(windows.count(), batch, sum) /
         static_cast<double>(windows.count() * (windows.window - 1));
}

}  // namespace attar
