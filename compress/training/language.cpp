#include "compress/training/language.h"

#include <fmt/format.h>

#include "compress/base/error.h"
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

/// What was kept of the teacher at every position of the examples.
std::vector<TopRow> kept_rows(const DistributionStore& store, const TokenWindows& windows,
                              std::span<const int64_t> examples) {
  std::vector<TopRow> all;
  for (const int64_t example : examples) {
    const auto rows = store.find(windows.at(example), 0);
    if (!rows)
      throw failure(fmt::format("the teacher's distributions over window {} are missing", example),
                    "training", "they were kept before training began; was the file removed?");
    for (int64_t r = 0; r < rows->rows; ++r) all.push_back(rows->at(r));
  }
  return all;
}

}  // namespace

std::vector<double> LanguageObjective::backward(std::span<const int64_t> examples, double scale,
                                                uint64_t dropout_seed) {
  const Batch batch = make_batch(windows_, examples);
  LossTarget target;
  std::vector<TopRow> kept;
  if (kept_) {
    kept = kept_rows(*kept_, windows_, examples);
    target.kept = kept;
  } else if (teacher_) {
    const at::NoGradGuard no_grad;
    target = {teacher_, teacher_->hidden(batch.ids)};
  }
  const at::Tensor hidden = model_.hidden(batch.ids, dropout_seed);
  const HeadLoss loss = head_loss(model_, hidden, target, batch.labels, loss_, scale, true);
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
    return head_loss(model, model.hidden(part.ids), {}, part.labels, loss, 1, false).parts[0];
  };
  return sum_in_batches(windows.count(), batch, sum) /
         static_cast<double>(windows.count() * (windows.window - 1));
}

}  // namespace attar
