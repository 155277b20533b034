#include "compress/training/language.h"

#include <algorithm>
#include <numeric>

#include "compress/base/process.h"
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
  constexpr int64_t kWindows = 2;
  std::vector<int64_t> first(static_cast<size_t>(std::min(kWindows, windows_.count())));
  std::iota(first.begin(), first.end(), int64_t{0});
  return make_batch(windows_, first).ids;
}

nlohmann::ordered_json LanguageObjective::data_facts() const {
  nlohmann::ordered_json facts = {{"data", to_json(windows_.facts)}};
  if (validation_) facts["validation_data"] = to_json(validation_->facts);
  return facts;
}

double held_out_loss(TrainableModel& model, const TokenWindows& windows, int64_t batch) {
  const at::NoGradGuard no_grad;
  const CrossEntropy loss;
  double sum = 0;
  for (int64_t begin = 0; begin < windows.count(); begin += batch) {
    check_interrupted();
    std::vector<int64_t> examples(static_cast<size_t>(std::min(batch, windows.count() - begin)));
    std::iota(examples.begin(), examples.end(), begin);
    const Batch part = make_batch(windows, examples);
    sum +=
        head_loss(model, model.hidden(part.ids), nullptr, {}, part.labels, loss, 1, false).parts[0];
  }
  return sum / static_cast<double>(windows.count() * (windows.window - 1));
}

nlohmann::ordered_json to_json(const DataFacts& facts) {
  return {{"source", facts.source},       {"documents", facts.documents},
          {"tokens", facts.tokens},       {"windows", facts.windows},
          {"window", facts.window},       {"dropped_tokens", facts.dropped_tokens},
          {"bos_added", facts.bos_added}, {"tokenizer_hash", facts.tokenizer_hash},
          {"sha256", facts.sha256}};
}

}  // namespace attar
