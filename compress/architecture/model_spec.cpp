#include "compress/architecture/model_spec.h"

#include <cassert>
#include <cmath>

#include "compress/formats/dtype.h"

namespace attar {
namespace {

/// Collects tensors in file order.
class Collector {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, TensorRole role) {
    if (!name.empty()) tensors_.push_back({name, std::move(shape), role, block});
  }
  void norm(const NormSpec& norm, int64_t size) {
    add(norm.weight, {size}, TensorRole::norm);
    add(norm.bias, {size}, TensorRole::norm);
  }
  void linear(const LinearSpec& linear, TensorRole role = TensorRole::linear) {
    add(linear.weight, {linear.out, linear.in}, role);
    add(linear.bias, {linear.out}, TensorRole::bias);
  }
  void attention(const AttentionSpec& a) {
    linear(a.q);
    linear(a.k);
    linear(a.v);
    norm(a.q_norm, a.head_dim);
    norm(a.k_norm, a.head_dim);
    norm(a.o_norm, a.heads * a.head_dim);
    linear(a.o);
  }
  void delta_net(const DeltaNetSpec& d) {
    for (const LinearSpec* part : {&d.q, &d.k, &d.v, &d.z, &d.b, &d.a}) linear(*part);
    add(d.conv, {d.conv_channels(), 1, d.conv_width}, TensorRole::linear);
    add(d.a_log, {d.value_heads}, TensorRole::bias);
    add(d.dt_bias, {d.value_heads}, TensorRole::bias);
    norm(d.norm, d.value_dim);
    linear(d.out);
  }
  void mlp(const MlpSpec& m) {
    linear(m.gate);
    linear(m.up);
    norm(m.down_norm, m.width);
    linear(m.down);
  }
  void moe(const MoeSpec& m) {
    linear(m.router);
    for (const MlpSpec& expert : m.experts) mlp(expert);
    mlp(m.shared);
    linear(m.shared_gate);
  }
  std::vector<TensorSpec> take() { return std::move(tensors_); }

  int64_t block = -1;

 private:
  std::vector<TensorSpec> tensors_;
};

/// A norm over the channels of a group.
void add_norm(const NormSpec& norm, int64_t per_unit, DependencyGroup& group) {
  if (norm.kind == NormKind::none) return;
  group.rows.push_back({norm.weight, per_unit});
  if (!norm.bias.empty()) group.rows.push_back({norm.bias, per_unit});
  if (norm.kind == NormKind::rms) group.norm = norm.weight;
}

/// The rows of a linear layer that one unit owns: of its weight and of its bias, if it has them.
void add_rows(const LinearSpec& linear, int64_t per_unit, DependencyGroup& group) {
  if (!linear.weight.empty()) group.rows.push_back({linear.weight, per_unit});
  if (!linear.bias.empty()) group.rows.push_back({linear.bias, per_unit});
}

}  // namespace

std::string LinearSpec::module() const {
  constexpr std::string_view kSuffix = ".weight";
  assert(weight.ends_with(kSuffix));
  return weight.substr(0, weight.size() - kSuffix.size());
}

std::vector<std::pair<std::string, const LinearSpec*>> BlockSpec::linears() const {
  std::vector<std::pair<std::string, const LinearSpec*>> result;
  const auto add = [&](std::initializer_list<const LinearSpec*> linears) {
    for (const LinearSpec* linear : linears) {
      if (linear->weight.empty()) continue;
      const std::string module = linear->module();
      result.emplace_back(module.substr(module.rfind('.') + 1), linear);
    }
  };
  add({&attention.q, &attention.k, &attention.v, &attention.o});
  if (delta_net) add({&delta_net->q, &delta_net->k, &delta_net->v, &delta_net->z, &delta_net->out});
  for (const MlpSpec* part : mlps()) add({&part->gate, &part->up, &part->down});
  return result;
}

std::vector<const MlpSpec*> BlockSpec::mlps() const {
  std::vector<const MlpSpec*> result;
  if (mlp.width > 0) result.push_back(&mlp);
  if (!moe) return result;
  for (const MlpSpec& expert : moe->experts) result.push_back(&expert);
  if (moe->shared.width > 0) result.push_back(&moe->shared);
  return result;
}

std::vector<const LinearSpec*> BlockSpec::outputs() const {
  std::vector<const LinearSpec*> result = {delta_net ? &delta_net->out : &attention.o};
  for (const MlpSpec* part : mlps()) result.push_back(&part->down);
  return result;
}

std::vector<TensorSpec> tensors(const ModelSpec& spec) {
  Collector all;
  all.add(spec.embedding, {spec.vocab, spec.hidden}, TensorRole::embedding);
  all.add(spec.positions, {spec.position_offset + spec.max_positions, spec.hidden},
          TensorRole::embedding);
  all.add(spec.token_types, {spec.type_vocab, spec.hidden}, TensorRole::embedding);
  all.norm(spec.embedding_norm, spec.hidden);
  for (const BlockSpec& block : spec.blocks) {
    ++all.block;
    all.norm(block.attention_norm, spec.hidden);
    all.attention(block.attention);
    if (block.delta_net) all.delta_net(*block.delta_net);
    all.norm(block.post_attention_norm, spec.hidden);
    all.norm(block.mlp_norm, spec.hidden);
    all.mlp(block.mlp);
    if (block.moe) all.moe(*block.moe);
    all.norm(block.post_mlp_norm, spec.hidden);
  }
  all.block = -1;
  all.norm(spec.final_norm, spec.hidden);
  if (!spec.tied) all.linear(spec.head, TensorRole::head);
  all.linear(spec.pooler, TensorRole::head);
  all.linear(spec.classifier, TensorRole::head);
  return all.take();
}

int64_t ModelSpec::parameters() const {
  int64_t total = 0;
  for (const TensorSpec& tensor : tensors(*this)) total += element_count(tensor.shape);
  return total;
}

int64_t ModelSpec::active_parameters() const {
  int64_t total = parameters();
  for (const BlockSpec& block : blocks) {
    if (!block.moe) continue;
    const auto idle = static_cast<int64_t>(block.moe->experts.size()) - block.moe->top_k;
    const MlpSpec& expert = block.moe->experts.front();
    for (const LinearSpec* linear : {&expert.gate, &expert.up, &expert.down})
      total -= idle * linear->out * linear->in;
  }
  return total;
}

const AttentionSpec* ModelSpec::first_attention() const {
  for (const BlockSpec& block : blocks)
    if (block.attention.kv_heads > 0) return &block.attention;
  return nullptr;
}

std::vector<DependencyGroup> dependency_groups(const ModelSpec& spec) {
  std::vector<DependencyGroup> groups;
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const AttentionSpec& attention = spec.blocks[i].attention;
    const auto block = static_cast<int64_t>(i);

    if (attention.kv_heads > 0) {
      // A key-value head takes its query heads along, which stand together in q (each with its
      // gate, where there are gates) and in o's columns.
      DependencyGroup kv{DependencyGroup::Kind::kv_groups, block, attention.kv_heads, {}, {}};
      const int64_t queries = attention.heads / attention.kv_heads * attention.head_dim;
      add_rows(attention.q, attention.gated ? 2 * queries : queries, kv);
      add_rows(attention.k, attention.head_dim, kv);
      add_rows(attention.v, attention.head_dim, kv);
      kv.columns.push_back({attention.o.weight, queries});
      add_norm(attention.o_norm, queries, kv);
      groups.push_back(std::move(kv));
    }
    for (const MlpSpec* mlp : spec.blocks[i].mlps()) {
      DependencyGroup ffn{DependencyGroup::Kind::ffn_neurons, block, mlp->width, {}, {}};
      add_rows(mlp->gate, 1, ffn);
      add_rows(mlp->up, 1, ffn);
      ffn.columns.push_back({mlp->down.weight, 1});
      add_norm(mlp->down_norm, 1, ffn);
      groups.push_back(std::move(ffn));
    }
  }
  return groups;
}

}  // namespace attar
