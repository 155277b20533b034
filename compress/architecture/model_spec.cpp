#include "compress/architecture/model_spec.h"

#include <cassert>
#include <cmath>
#include <numbers>

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
  std::vector<TensorSpec> take() { return std::move(tensors_); }

  int64_t block = -1;

 private:
  std::vector<TensorSpec> tensors_;
};

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

std::vector<double> RopeSpec::frequencies() const {
  std::vector<double> result(static_cast<size_t>(dims / 2));
  for (size_t i = 0; i < result.size(); ++i) {
    const double base = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
    if (scaling == RopeScaling::none) {
      result[i] = base;
    } else if (scaling == RopeScaling::linear) {
      result[i] = base / factor;
    } else {
      // Llama 3.1: waves that repeat often within the original length stay, long ones are stretched
      // by `factor`, and between the two bands the frequency is interpolated.
      const double turns =
          static_cast<double>(original_max_positions) * base / (2.0 * std::numbers::pi);
      const double share = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
      if (turns < low_freq_factor)
        result[i] = base / factor;
      else if (turns > high_freq_factor)
        result[i] = base;
      else
        result[i] = (1.0 - share) * base / factor + share * base;
    }
  }
  return result;
}

std::vector<std::pair<std::string, const LinearSpec*>> BlockSpec::linears() const {
  std::vector<std::pair<std::string, const LinearSpec*>> result;
  for (const LinearSpec* linear :
       {&attention.q, &attention.k, &attention.v, &attention.o, &mlp.gate, &mlp.up, &mlp.down}) {
    if (linear->weight.empty()) continue;
    const std::string module = linear->module();
    result.emplace_back(module.substr(module.rfind('.') + 1), linear);
  }
  return result;
}

std::vector<TensorSpec> tensors(const ModelSpec& spec) {
  Collector all;
  all.add(spec.embedding, {spec.vocab, spec.hidden}, TensorRole::embedding);
  for (const BlockSpec& block : spec.blocks) {
    ++all.block;
    all.norm(block.attention_norm, spec.hidden);
    all.linear(block.attention.q);
    all.linear(block.attention.k);
    all.linear(block.attention.v);
    all.norm(block.attention.q_norm, block.attention.head_dim);
    all.norm(block.attention.k_norm, block.attention.head_dim);
    all.linear(block.attention.o);
    all.norm(block.mlp_norm, spec.hidden);
    all.linear(block.mlp.gate);
    all.linear(block.mlp.up);
    all.linear(block.mlp.down);
  }
  all.block = -1;
  all.norm(spec.final_norm, spec.hidden);
  if (!spec.tied) all.linear(spec.head, TensorRole::head);
  return all.take();
}

int64_t ModelSpec::parameters() const {
  int64_t total = 0;
  for (const TensorSpec& tensor : tensors(*this)) {
    int64_t count = 1;
    for (const int64_t size : tensor.shape) count *= size;
    total += count;
  }
  return total;
}

std::vector<DependencyGroup> dependency_groups(const ModelSpec& spec) {
  std::vector<DependencyGroup> groups;
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const AttentionSpec& attention = spec.blocks[i].attention;
    const MlpSpec& mlp = spec.blocks[i].mlp;
    const auto block = static_cast<int64_t>(i);

    // A key-value head takes its query heads along, which stand together in q and in o's columns.
    DependencyGroup kv{DependencyGroup::Kind::kv_groups, block, attention.kv_heads, {}, {}};
    const int64_t queries = attention.heads / attention.kv_heads * attention.head_dim;
    add_rows(attention.q, queries, kv);
    add_rows(attention.k, attention.head_dim, kv);
    add_rows(attention.v, attention.head_dim, kv);
    kv.columns.push_back({attention.o.weight, queries});
    groups.push_back(std::move(kv));

    DependencyGroup ffn{DependencyGroup::Kind::ffn_neurons, block, mlp.width, {}, {}};
    add_rows(mlp.gate, 1, ffn);
    add_rows(mlp.up, 1, ffn);
    ffn.columns.push_back({mlp.down.weight, 1});
    groups.push_back(std::move(ffn));
  }
  return groups;
}

}  // namespace attar
