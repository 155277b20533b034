#include "compress/model/trainable_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "compress/base/error.h"
#include "compress/base/random.h"

namespace attar {

TrainableModel::TrainableModel(const ModelSpec& spec, Precision precision, Weights weights)
    : spec_(spec),
      dtype_(precision == Precision::bf16 ? at::kBFloat16 : at::kFloat),
      weights_(weights),
      blocks_(spec.blocks.size()) {
  const int64_t hidden = spec_.hidden;
  Declaration declaration(parameters_, weights != Weights::trained);
  declaration.parameter(embedding_, spec_.embedding, {spec_.vocab, hidden});
  declaration.parameter(positions_, spec_.positions,
                        {spec_.position_offset + spec_.max_positions, hidden});
  declaration.parameter(token_types_, spec_.token_types, {spec_.type_vocab, hidden});
  declaration.norm(embedding_norm_, spec_.embedding_norm, hidden);
  for (size_t i = 0; i < blocks_.size(); ++i)
    blocks_[i].declare(declaration, spec_.blocks[i], hidden);
  declaration.norm(final_norm_, spec_.final_norm, hidden);
  if (!spec_.head.weight.empty())
    declaration.stored_linear(head_, spec_.head,
                              spec_.tied ? parameters_.find(spec_.embedding) : -1);
  if (!spec_.pooler.weight.empty()) declaration.stored_linear(pooler_, spec_.pooler);
  if (!spec_.classifier.weight.empty()) declaration.stored_linear(classifier_, spec_.classifier);
  declaration.finish();
  anchor_ = at::zeros({1}, at::kFloat).requires_grad_(true);
}

std::vector<const Projection*> TrainableModel::projections() const {
  std::vector<const Projection*> all;
  for (const BlockLayer& block : blocks_)
    for (const Projection* projection : block.projections()) all.push_back(projection);
  return all;
}

void TrainableModel::load(const WeightSource& weights) {
  const auto read = [&](const std::string& name, int64_t count) {
    std::vector<float> values = weights.floats(name);
    if (static_cast<int64_t>(values.size()) != count)
      throw bad_input("the tensor has " + std::to_string(values.size()) + " elements, not " +
                          std::to_string(count),
                      "tensor " + name, "config.json and the weights disagree");
    require_finite(name, values);
    return values;
  };
  for (const auto& entry : parameters_.entries()) {
    const std::vector<float> values = read(entry.name, entry.count);
    std::copy(values.begin(), values.end(), parameters_.flat().data_ptr<float>() + entry.offset);
  }
  if (weights_ != Weights::trained)
    for (const Projection* projection : projections())
      for (const auto& group : projection->groups())
        for (size_t m = 0; m < group->members().size(); ++m) {
          const LinearSpec& linear = *group->members()[m].spec;
          group->hold(m, read(linear.weight, linear.out * linear.in), dtype_,
                      weights_ == Weights::nf4 && !projection->exact());
        }
  refresh();
}

void TrainableModel::attach(const std::vector<AdapterPlan>& plans, double dropout, uint64_t seed,
                            const std::vector<const LinearSpec*>& head) {
  std::map<std::string, const AdapterPlan*> wanted;
  for (const AdapterPlan& plan : plans) wanted[plan.module] = &plan;
  struct Found {
    LinearGroup* group;
    int64_t member;
    const AdapterPlan* plan;
  };
  std::vector<Found> found;
  for (const Projection* projection : projections())
    for (const auto& group : projection->groups())
      for (size_t m = 0; m < group->members().size(); ++m)
        if (const auto at = wanted.find(group->members()[m].spec->module()); at != wanted.end())
          found.push_back({group.get(), static_cast<int64_t>(m), at->second});
  for (const Found& f : found) {
    const LinearSpec& linear = *f.group->members()[static_cast<size_t>(f.member)].spec;
    adapters_.add(f.plan->module + ".lora_A.weight", {f.plan->rank, linear.in});
    adapters_.add(f.plan->module + ".lora_B.weight", {linear.out, f.plan->rank});
  }
  std::vector<int64_t> first;  // of the head's entries
  for (const LinearSpec* linear : head) {
    first.push_back(adapters_.add(linear->weight, {linear->out, linear->in}));
    if (!linear->bias.empty()) adapters_.add(linear->bias, {linear->out});
  }
  adapters_.allocate(true);
  for (size_t i = 0; i < head.size(); ++i) train_whole(*head[i], first[i]);
  Random random(seed);
  for (size_t i = 0; i < found.size(); ++i) {
    const auto a = static_cast<int64_t>(2 * i), b = a + 1;
    const at::Tensor values = adapters_.value(a);
    const double bound = 1.0 / std::sqrt(static_cast<double>(values.size(1)));
    for (int64_t j = 0; j < values.numel(); ++j)
      values.data_ptr<float>()[j] = static_cast<float>((2 * random.uniform() - 1) * bound);
    found[i].group->attach({found[i].member, values, adapters_.value(b), adapters_.gradient(a),
                            adapters_.gradient(b), found[i].plan->scale});
  }
  dropout_ = dropout;
  refresh();
}

/// Moves a linear of the head from the frozen parameters to entries `weight` and the next of the
/// adapters' store.
void TrainableModel::train_whole(const LinearSpec& linear, int64_t weight) {
  const bool biased = !linear.bias.empty();
  adapters_.value(weight).copy_(parameters_.value(parameters_.find(linear.weight)));
  if (biased) adapters_.value(weight + 1).copy_(parameters_.value(parameters_.find(linear.bias)));
  const LinearSpec& own =
      linear.weight == spec_.classifier.weight ? spec_.classifier : spec_.pooler;
  auto& group = linear.weight == spec_.classifier.weight ? classifier_ : pooler_;
  group = std::make_unique<LinearGroup>(std::vector<const LinearSpec*>{&own}, adapters_, weight,
                                        biased ? weight + 1 : -1);
}

void TrainableModel::refresh() {
  for (const Projection* projection : projections())
    for (const auto& group : projection->groups()) group->refresh(dtype_);
  for (const auto* linear : {&head_, &pooler_, &classifier_})
    if (*linear) (*linear)->refresh(dtype_);
}

void TrainableModel::extend_ropes(int64_t positions) {
  // Some scalings give other frequencies to longer sequences.
  const bool same = std::all_of(spec_.ropes.begin(), spec_.ropes.end(), [&](const RopeSpec& rope) {
    return rope.regime(positions) == rope.regime(rope_positions_);
  });
  if (same && rope_positions_ >= positions) return;
  ropes_.clear();
  for (const RopeSpec& rope : spec_.ropes) ropes_.push_back(ops::rope_tensors(rope, positions));
  rope_positions_ = positions;
}

at::Tensor TrainableModel::embedded(const ModelInput& input) const {
  const int64_t sequences = input.ids.size(0), positions = input.ids.size(1);
  at::Tensor h = ops::embed(input.ids.reshape({-1}), embedding_,
                            static_cast<double>(spec_.embedding_scale), anchor_);
  if (positions_.value.defined()) {
    if (positions > spec_.max_positions)
      throw bad_input(
          fmt::format("{} positions, and the model has learned {}", positions, spec_.max_positions),
          spec_.positions, "shorten the sequences");
    const at::Tensor at = at::arange(positions).add_(spec_.position_offset).repeat({sequences});
    h = h + ops::embed(at, positions_, 1, anchor_);
  }
  if (token_types_.value.defined()) {
    const at::Tensor types =
        input.token_types.defined() ? input.token_types : at::zeros_like(input.ids);
    h = h + ops::embed(types.reshape({-1}), token_types_, 1, anchor_);
  }
  return embedding_norm_ ? ops::add_norm(h, {}, embedding_norm_, at::kFloat).second : h;
}

at::Tensor TrainableModel::hidden(const ModelInput& input, uint64_t seed) {
  extend_ropes(input.ids.size(1));
  Random seeds(seed);
  BlockLayer::Stream stream{embedded(input), {}};
  for (const BlockLayer& block : blocks_)
    block.forward(
        stream, {input.ids.size(0), input.lengths, &ropes_, dropout_, seed ? seeds.next() | 1u : 0},
        dtype_);
  if (!final_norm_) return stream.h.to(dtype_);
  return ops::add_norm(stream.h, stream.delta, final_norm_, dtype_).second;
}

at::Tensor TrainableModel::pooled(const ModelInput& input, uint64_t seed) {
  const int64_t sequences = input.ids.size(0), positions = input.ids.size(1);
  const at::Tensor rows = hidden(input, seed).view({sequences, positions, spec_.hidden});
  at::Tensor pooled;
  if (spec_.pooling == Pooling::first_token) {
    pooled = rows.select(1, 0);
  } else {
    std::vector<at::Tensor> means;
    for (int64_t s = 0; s < sequences; ++s) {
      const int64_t length =
          input.lengths.defined() ? input.lengths.data_ptr<int64_t>()[s] : positions;
      means.push_back(rows[s].narrow(0, 0, length).to(at::kFloat).mean(0));
    }
    pooled = at::stack(means);
  }
  if (spec_.task == Task::embed) return pooled.to(at::kFloat);
  pooled = pooled.to(dtype_).contiguous();
  if (pooler_) {
    pooled = pooler_->forward(pooled);
    pooled = spec_.pooler_activation == ModelSpec::PoolerActivation::tanh ? at::tanh(pooled)
                                                                          : at::relu(pooled);
  }
  return classifier_->forward(pooled).to(at::kFloat);
}

at::Tensor TrainableModel::logits(const ModelInput& input) {
  const at::NoGradGuard no_grad;
  if (spec_.task != Task::causal_lm) return pooled(input);
  at::Tensor logits = head_->product(hidden(input)).to(at::kFloat);
  if (spec_.logit_softcap > 0) {
    const double cap = static_cast<double>(spec_.logit_softcap);
    logits = at::tanh(logits / cap) * cap;
  }
  return logits.view({input.ids.size(0), input.ids.size(1), spec_.vocab});
}

std::vector<TensorPlan> TrainableModel::plan(DType dtype) const {
  std::vector<TensorPlan> plans;
  for (const TensorSpec& tensor : tensors(spec_))
    plans.push_back({tensor.name, tensor.shape, dtype, std::nullopt});
  return plans;
}

void TrainableModel::save(StoredWriter& writer) const {
  for (const auto& entry : parameters_.entries())
    writer.write(entry.name,
                 std::span<const float>(parameters_.flat().data_ptr<float>() + entry.offset,
                                        static_cast<size_t>(entry.count)));
}

}  // namespace attar
