// A model's weights before any training.
#include <cmath>
#include <map>

#include "compress/base/random.h"
#include "compress/model/trainable_model.h"

namespace attar {
namespace {

constexpr double kDeviation = 0.02;

/// How one parameter begins: constant, or random.
struct Beginning {
  enum class Kind { constant, normal, log_uniform } kind;
  double value;  // the constant; the deviation; the upper bound of what the logarithm is taken of
};

/// What does not begin as N(0, 0.02) (matrices) or zero (vectors).
std::map<std::string, Beginning> exceptions(const ModelSpec& spec) {
  std::map<std::string, Beginning> result;
  const double residual = 1.0 / std::sqrt(2.0 * static_cast<double>(spec.blocks.size()));
  const auto writes_residual = [&](const LinearSpec& linear) {
    result[linear.weight] = {Beginning::Kind::normal, kDeviation * residual};
  };
  const auto norm = [&](const NormSpec& spec_of) {
    result[spec_of.weight] = {Beginning::Kind::constant,
                              1.0 - static_cast<double>(spec_of.weight_offset)};
  };
  const auto mlp = [&](const MlpSpec& part) {
    writes_residual(part.down);
    norm(part.down_norm);
  };
  norm(spec.embedding_norm);
  norm(spec.final_norm);
  for (const BlockSpec& block : spec.blocks) {
    const AttentionSpec& attention = block.attention;
    for (const NormSpec* each :
         {&block.attention_norm, &block.mlp_norm, &block.post_attention_norm, &block.post_mlp_norm,
          &attention.q_norm, &attention.k_norm, &attention.o_norm})
      norm(*each);
    writes_residual(attention.o);
    mlp(block.mlp);
    if (block.delta_net) {
      writes_residual(block.delta_net->out);
      norm(block.delta_net->norm);
      result[block.delta_net->a_log] = {Beginning::Kind::log_uniform, 16};
      result[block.delta_net->dt_bias] = {Beginning::Kind::constant, 1};
      const auto width = static_cast<double>(block.delta_net->conv_width);
      result[block.delta_net->conv] = {Beginning::Kind::normal, 1.0 / std::sqrt(3.0 * width)};
    }
    if (block.moe) {
      for (const MlpSpec& expert : block.moe->experts) mlp(expert);
      mlp(block.moe->shared);
    }
  }
  return result;
}

}  // namespace

void TrainableModel::initialize(uint64_t seed) {
  const auto special = exceptions(spec_);
  float* values = parameters_.flat().data_ptr<float>();
  Random random(seed);
  for (const auto& entry : parameters_.entries()) {
    Beginning beginning{Beginning::Kind::constant, 0};
    if (const auto found = special.find(entry.name); found != special.end())
      beginning = found->second;
    else if (entry.shape.size() == 2)
      beginning = {Beginning::Kind::normal, kDeviation};
    float* to = values + entry.offset;
    for (int64_t i = 0; i < entry.count; ++i) {
      double x = beginning.value;
      if (beginning.kind == Beginning::Kind::normal) x *= random.normal();
      // (0, 16]: never the logarithm of 0.
      if (beginning.kind == Beginning::Kind::log_uniform) x = std::log(x * (1 - random.uniform()));
      to[i] = static_cast<float>(x);
    }
  }
  refresh();
}

}  // namespace attar
