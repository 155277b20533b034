#include "compress/model/trainable_model.h"

#include <cmath>
#include <map>

#include "compress/base/error.h"
#include "compress/base/random.h"

namespace attar {
namespace {

/// Linears that read the same input, in groups that agree about having a bias.
using Linears = std::vector<const LinearSpec*>;
std::vector<Linears> grouped(const Linears& linears) {
  std::vector<Linears> groups;
  for (const LinearSpec* linear : linears)
    if (!groups.empty() && groups.back().front()->bias.empty() == linear->bias.empty())
      groups.back().push_back(linear);
    else
      groups.push_back({linear});
  return groups;
}

/// Where a group's entries begin in the store; −1: no biases.
struct Place {
  int64_t weights, biases;
};

void declare_norm(ParameterStore& store, const NormSpec& norm, int64_t width) {
  if (!norm.weight.empty()) store.add(norm.weight, {width});
  if (!norm.bias.empty()) store.add(norm.bias, {width});
}

/// Frozen weights are held by their group, not in the store.
Place declare_group(ParameterStore& store, const Linears& linears, bool frozen) {
  Place place{-1, -1};
  for (const LinearSpec* linear : linears) {
    if (frozen) break;
    const int64_t index = store.add(linear->weight, {linear->out, linear->in});
    if (place.weights < 0) place.weights = index;
  }
  for (const LinearSpec* linear : linears) {
    if (linear->bias.empty()) continue;
    const int64_t index = store.add(linear->bias, {linear->out});
    if (place.biases < 0) place.biases = index;
  }
  return place;
}

using Groups = std::vector<std::unique_ptr<LinearGroup>>;

/// The groups' outputs side by side.
at::Tensor apply(const Groups& groups, const at::Tensor& x, double dropout, uint64_t seed) {
  std::vector<at::Tensor> parts;
  for (const auto& group : groups) {
    const bool drops = seed && dropout > 0;
    parts.push_back(group->forward(x, drops ? dropout : 0, Random(seed + parts.size()).next()));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

}  // namespace

struct TrainableModel::BlockParts {
  Groups qkv, o, up, down;
};

TrainableModel::~TrainableModel() = default;

TrainableModel::TrainableModel(const ModelSpec& spec, Precision precision, Weights weights)
    : spec_(spec),
      dtype_(precision == Precision::bf16 ? at::kBFloat16 : at::kFloat),
      weights_(weights) {
  // Declared in the order of use; the groups' views can only be made once everything is declared.
  std::vector<std::pair<Groups*, std::pair<Linears, Place>>> declared;
  const auto declare = [&](Groups& to, const Linears& linears) {
    for (const Linears& group : grouped(linears))
      declared.push_back(
          {&to, {group, declare_group(parameters_, group, weights != Weights::trained)}});
  };
  const int64_t embedding = parameters_.add(spec_.embedding, {spec_.vocab, spec_.hidden});
  for (const BlockSpec& block : spec_.blocks) {
    auto& parts = *blocks_.emplace_back(std::make_unique<BlockParts>());
    const AttentionSpec& attention = block.attention;
    declare_norm(parameters_, block.attention_norm, spec_.hidden);
    declare(parts.qkv, {&attention.q, &attention.k, &attention.v});
    declare_norm(parameters_, attention.q_norm, attention.head_dim);
    declare_norm(parameters_, attention.k_norm, attention.head_dim);
    declare(parts.o, {&attention.o});
    declare_norm(parameters_, block.mlp_norm, spec_.hidden);
    if (block.mlp.gated())
      declare(parts.up, {&block.mlp.gate, &block.mlp.up});
    else
      declare(parts.up, {&block.mlp.up});
    declare(parts.down, {&block.mlp.down});
  }
  declare_norm(parameters_, spec_.final_norm, spec_.hidden);
  const Place head =
      spec_.tied ? Place{embedding, -1} : declare_group(parameters_, {&spec_.head}, false);
  parameters_.allocate(weights == Weights::trained);
  for (auto& [groups, made] : declared)
    groups->push_back(std::make_unique<LinearGroup>(made.first, parameters_, made.second.weights,
                                                    made.second.biases));
  head_ =
      std::make_unique<LinearGroup>(Linears{&spec_.head}, parameters_, head.weights, head.biases);
  anchor_ = at::zeros({1}, at::kFloat).requires_grad_(true);
}

std::vector<LinearGroup*> TrainableModel::groups() const {
  std::vector<LinearGroup*> all;
  for (const auto& block : blocks_)
    for (const Groups* groups : {&block->qkv, &block->o, &block->up, &block->down})
      for (const auto& group : *groups) all.push_back(group.get());
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
    for (LinearGroup* group : groups())
      for (size_t m = 0; m < group->members().size(); ++m) {
        const LinearSpec& linear = *group->members()[m].spec;
        group->hold(m, read(linear.weight, linear.out * linear.in), dtype_,
                    weights_ == Weights::nf4);
      }
  refresh();
}

void TrainableModel::initialize(uint64_t seed) {
  constexpr double kDeviation = 0.02;
  const double residual = 1.0 / std::sqrt(2.0 * static_cast<double>(spec_.blocks.size()));
  std::map<std::string, double> deviation;
  for (const BlockSpec& block : spec_.blocks)
    deviation[block.attention.o.weight] = deviation[block.mlp.down.weight] = kDeviation * residual;
  std::map<std::string, float> ones;
  for (const TensorSpec& tensor : tensors(spec_))
    if (tensor.role == TensorRole::norm) ones[tensor.name] = 1.0f;
  float* values = parameters_.flat().data_ptr<float>();
  Random random(seed);
  for (const auto& entry : parameters_.entries()) {
    float* to = values + entry.offset;
    if (entry.shape.size() == 2) {
      const double d = deviation.contains(entry.name) ? deviation[entry.name] : kDeviation;
      for (int64_t i = 0; i < entry.count; ++i) to[i] = static_cast<float>(d * random.normal());
    } else {
      std::fill(to, to + entry.count, ones.contains(entry.name) ? 1.0f : 0.0f);
    }
  }
  refresh();
}

void TrainableModel::attach(const std::vector<AdapterPlan>& plans, double dropout, uint64_t seed) {
  struct Found {
    LinearGroup* group;
    int64_t member;
    const AdapterPlan* plan;
  };
  std::vector<Found> found;
  for (LinearGroup* group : groups())
    for (size_t m = 0; m < group->members().size(); ++m)
      for (const AdapterPlan& plan : plans)
        if (group->members()[m].spec->module() == plan.module)
          found.push_back({group, static_cast<int64_t>(m), &plan});
  for (const Found& f : found) {
    const LinearSpec& linear = *f.group->members()[static_cast<size_t>(f.member)].spec;
    adapters_.add(f.plan->module + ".lora_A.weight", {f.plan->rank, linear.in});
    adapters_.add(f.plan->module + ".lora_B.weight", {linear.out, f.plan->rank});
  }
  adapters_.allocate(true);
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

void TrainableModel::refresh() {
  for (LinearGroup* group : groups()) group->refresh(dtype_);
  head_->refresh(dtype_);
}

ops::Parameter TrainableModel::parameter(const std::string& name) const {
  const int64_t index = parameters_.find(name);
  return {parameters_.value(index), parameters_.gradient(index)};
}

void TrainableModel::extend_ropes(int64_t positions) {
  if (!ropes_.empty() && ropes_[0].cos.size(0) >= positions) return;
  ropes_.clear();
  for (const RopeSpec& rope : spec_.ropes) ropes_.push_back(ops::rope_tensors(rope, positions));
}

at::Tensor TrainableModel::attention(const BlockParts& parts, const AttentionSpec& spec,
                                     const at::Tensor& y, int64_t sequences, uint64_t seed) {
  at::Tensor qkv = apply(parts.qkv, y, dropout_, seed);
  if (!spec.q_norm.weight.empty()) {
    // Norms of the heads: rows of head_dim.
    const int64_t q_width = spec.heads * spec.head_dim, k_width = spec.kv_heads * spec.head_dim;
    const auto normed = [&](int64_t from, int64_t width, const NormSpec& norm) {
      const at::Tensor rows =
          qkv.narrow(1, from, width).reshape({-1, spec.head_dim}).to(at::kFloat);
      return ops::add_norm(rows, {}, norm, parameter(norm.weight), dtype_).second.view({-1, width});
    };
    qkv = at::cat({normed(0, q_width, spec.q_norm), normed(q_width, k_width, spec.k_norm),
                   qkv.narrow(1, q_width + k_width, k_width)},
                  1);
  }
  const auto* rope = spec.rope < 0 ? nullptr : &ropes_[static_cast<size_t>(spec.rope)];
  const at::Tensor mixed = ops::attention(ops::split_heads(qkv, spec, rope, sequences), spec);
  return apply(parts.o, mixed, dropout_, seed ? seed + 8 : 0);
}

at::Tensor TrainableModel::mlp(const BlockParts& parts, const MlpSpec& spec, const at::Tensor& y,
                               uint64_t seed) {
  const at::Tensor up = apply(parts.up, y, dropout_, seed ? seed + 16 : 0);
  const at::Tensor active =
      spec.gated() ? ops::gated(up, spec.activation) : ops::activate(up, spec.activation);
  return apply(parts.down, active, dropout_, seed ? seed + 24 : 0);
}

at::Tensor TrainableModel::hidden(const at::Tensor& ids, uint64_t seed) {
  const int64_t sequences = ids.size(0);
  extend_ropes(ids.size(1));
  Random seeds(seed);
  at::Tensor h = ops::embed(ids.reshape({-1}), parameter(spec_.embedding),
                            static_cast<double>(spec_.embedding_scale), anchor_);
  at::Tensor delta, y;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const BlockSpec& block = spec_.blocks[i];
    const uint64_t block_seed = seed ? seeds.next() | 1u : 0;
    std::tie(h, y) = ops::add_norm(h, delta, block.attention_norm,
                                   parameter(block.attention_norm.weight), dtype_);
    delta = attention(*blocks_[i], block.attention, y, sequences, block_seed);
    std::tie(h, y) =
        ops::add_norm(h, delta, block.mlp_norm, parameter(block.mlp_norm.weight), dtype_);
    delta = mlp(*blocks_[i], block.mlp, y, block_seed);
  }
  return ops::add_norm(h, delta, spec_.final_norm, parameter(spec_.final_norm.weight), dtype_)
      .second;
}

at::Tensor TrainableModel::logits(const at::Tensor& ids) {
  const at::NoGradGuard no_grad;
  return head_->product(hidden(ids)).to(at::kFloat).view({ids.size(0), ids.size(1), spec_.vocab});
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
