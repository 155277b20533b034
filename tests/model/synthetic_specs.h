// Small models of every wiring that a spec can describe, with random weights.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "compress/base/random.h"
#include "compress/model/trainable_model.h"

namespace attar::testing {

inline LinearSpec linear(const std::string& module, int64_t out, int64_t in, bool bias = false) {
  return {module + ".weight", bias ? module + ".bias" : "", out, in};
}
inline NormSpec rms(const std::string& module, float offset = 0) {
  return {NormKind::rms, 1e-6f, module + ".weight", "", offset};
}
inline NormSpec layer_norm(const std::string& module) {
  return {NormKind::layer, 1e-5f, module + ".weight", module + ".bias", 0};
}
inline MlpSpec gated_mlp(const std::string& at, int64_t hidden, int64_t width,
                         Activation activation = Activation::silu) {
  MlpSpec mlp;
  mlp.gate = linear(at + ".gate", width, hidden);
  mlp.up = linear(at + ".up", width, hidden);
  mlp.down = linear(at + ".down", hidden, width);
  mlp.activation = activation;
  mlp.width = width;
  return mlp;
}
inline AttentionSpec attention(const std::string& at, int64_t hidden, int64_t heads,
                               int64_t kv_heads, int64_t head_dim, bool bias = false) {
  AttentionSpec spec;
  spec.heads = heads;
  spec.kv_heads = kv_heads;
  spec.head_dim = head_dim;
  spec.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  spec.q = linear(at + ".q", heads * head_dim, hidden, bias);
  spec.k = linear(at + ".k", kv_heads * head_dim, hidden, bias);
  spec.v = linear(at + ".v", kv_heads * head_dim, hidden, bias);
  spec.o = linear(at + ".o", hidden, heads * head_dim, bias);
  return spec;
}

/// Two Llama blocks to be changed by the others: hidden 32, vocabulary 61.
inline ModelSpec plain() {
  ModelSpec spec;
  spec.vocab = 61;
  spec.hidden = 32;
  spec.max_positions = 700;
  spec.embedding = "embedding";
  spec.ropes = {{.dims = 8, .theta = 1000.0}};
  for (int64_t i = 0; i < 2; ++i) {
    const std::string at = "layers." + std::to_string(i);
    BlockSpec& block = spec.blocks.emplace_back();
    block.attention_norm = rms(at + ".attention_norm");
    block.mlp_norm = rms(at + ".mlp_norm");
    block.attention = attention(at, 32, 4, 2, 8);
    block.attention.rope = 0;
    block.mlp = gated_mlp(at, 32, 48);
  }
  spec.final_norm = rms("norm");
  spec.head = linear("head", 61, 32);
  return spec;
}

/// (1 + w) norms before and after, soft caps, one head for keys, head norms, a window, tied head.
inline ModelSpec gemma_like() {
  ModelSpec spec = plain();
  spec.embedding_scale = 5.66f;
  spec.logit_softcap = 3;
  spec.head.weight = spec.embedding;
  spec.tied = true;
  spec.final_norm.weight_offset = 1;
  for (size_t i = 0; i < 2; ++i) {
    BlockSpec& block = spec.blocks[i];
    const std::string at = "layers." + std::to_string(i);
    block.attention = attention(at, 32, 4, 1, 8);
    block.attention.rope = 0;
    block.attention.softcap = 2;
    block.attention.window = i ? 0 : 5;
    block.attention.q_norm = rms(at + ".q_norm", 1);
    block.attention.k_norm = rms(at + ".k_norm", 1);
    block.attention_norm.weight_offset = block.mlp_norm.weight_offset = 1;
    block.post_attention_norm = rms(at + ".post_attention_norm", 1);
    block.post_mlp_norm = rms(at + ".post_mlp_norm", 1);
    block.mlp.activation = Activation::gelu_tanh;
  }
  return spec;
}

/// Layer norms and biases, partial rotary embedding, parallel residual, GELU without a gate.
inline ModelSpec neox_like() {
  ModelSpec spec = plain();
  spec.ropes[0].dims = 4;
  spec.ropes[0].attention_factor = 1.2f;
  spec.final_norm = layer_norm("norm");
  for (size_t i = 0; i < 2; ++i) {
    BlockSpec& block = spec.blocks[i];
    const std::string at = "layers." + std::to_string(i);
    block.residual = Residual::parallel;
    block.attention_norm = layer_norm(at + ".attention_norm");
    block.mlp_norm = layer_norm(at + ".mlp_norm");
    block.attention = attention(at, 32, 4, 4, 8, true);
    block.attention.rope = 0;
    block.mlp = {};
    block.mlp.up = linear(at + ".up", 48, 32, true);
    block.mlp.down = linear(at + ".down", 32, 48, true);
    block.mlp.activation = Activation::gelu_erf;
    block.mlp.width = 48;
  }
  return spec;
}

/// Learned positions, no rotary embedding, biases on keys alone.
inline ModelSpec gpt2_like() {
  ModelSpec spec = neox_like();
  spec.max_positions = 40;
  spec.positions = "positions";
  spec.ropes.clear();
  for (BlockSpec& block : spec.blocks) {
    block.residual = Residual::pre_norm;
    block.attention.rope = -1;
    block.attention.q.bias = block.attention.v.bias = "";
    block.mlp.activation = Activation::gelu_tanh;
  }
  return spec;
}

/// Sub-norms and squared ReLU; one block without a gate.
inline ModelSpec bitnet_like() {
  ModelSpec spec = plain();
  for (size_t i = 0; i < 2; ++i) {
    BlockSpec& block = spec.blocks[i];
    const std::string at = "layers." + std::to_string(i);
    block.attention.o_norm = rms(at + ".o_norm");
    block.mlp.down_norm = rms(at + ".down_norm");
    block.mlp.activation = Activation::relu_squared;
  }
  spec.blocks[1].mlp.gate = {};
  return spec;
}

/// A Gated DeltaNet block (40 columns of values: more than one panel) and a gated attention, each
/// with experts, the second with a shared one.
inline ModelSpec hybrid() {
  ModelSpec spec = plain();
  DeltaNetSpec delta;
  delta.key_heads = 2;
  delta.value_heads = 4;
  delta.key_dim = 6;
  delta.value_dim = 40;
  delta.conv_width = 4;
  delta.q = linear("layers.0.q", 12, 32);
  delta.k = linear("layers.0.k", 12, 32);
  delta.v = linear("layers.0.v", 160, 32);
  delta.z = linear("layers.0.z", 160, 32);
  delta.b = linear("layers.0.b", 4, 32);
  delta.a = linear("layers.0.a", 4, 32);
  delta.out = linear("layers.0.out", 32, 160);
  delta.conv = "layers.0.conv.weight";
  delta.a_log = "layers.0.a_log";
  delta.dt_bias = "layers.0.dt_bias";
  delta.norm = rms("layers.0.delta_norm");
  spec.blocks[0].delta_net = delta;
  spec.blocks[0].attention = {};
  AttentionSpec& attention = spec.blocks[1].attention;
  attention.gated = true;
  attention.q.out *= 2;
  attention.q_norm = rms("layers.1.q_norm", 1);
  attention.k_norm = rms("layers.1.k_norm", 1);
  for (size_t i = 0; i < 2; ++i) {
    const std::string at = "layers." + std::to_string(i);
    MoeSpec moe;
    moe.router = linear(at + ".router", 5, 32);
    for (int64_t e = 0; e < 5; ++e)
      moe.experts.push_back(gated_mlp(at + ".experts." + std::to_string(e), 32, 12));
    moe.top_k = 2;
    moe.renormalize = i == 0;
    if (i == 1) {
      moe.shared = gated_mlp(at + ".shared", 32, 20);
      moe.shared_gate = linear(at + ".shared_gate", 1, 32);
    }
    spec.blocks[i].mlp = {};
    spec.blocks[i].moe = moe;
  }
  return spec;
}

/// Norms after the sums, attention in both directions, positions, token types, pooler, classifier.
inline ModelSpec bert_like(Pooling pooling = Pooling::first_token) {
  ModelSpec spec = gpt2_like();
  spec.task = Task::classify;
  spec.position_offset = 2;
  spec.token_types = "token_types";
  spec.type_vocab = 2;
  spec.embedding_norm = layer_norm("embedding_norm");
  spec.final_norm = {};
  spec.head = {};
  for (size_t i = 0; i < 2; ++i) {
    BlockSpec& block = spec.blocks[i];
    block.residual = Residual::post_norm;
    block.attention = attention("layers." + std::to_string(i), 32, 4, 4, 8, true);
    block.attention.causal = false;
    block.mlp.activation = Activation::gelu_erf;
  }
  spec.pooling = pooling;
  spec.pooler = linear("pooler", 32, 32, true);
  spec.classifier = linear("classifier", 3, 32, true);
  spec.labels = {"a", "b", "c"};
  return spec;
}

inline ModelSpec embedder() {
  ModelSpec spec = bert_like(Pooling::mean);
  spec.task = Task::embed;
  spec.pooler = spec.classifier = {};
  spec.labels.clear();
  return spec;
}

inline std::vector<std::pair<std::string, ModelSpec>> wirings() {
  return {{"plain", plain()},        {"gemma", gemma_like()},
          {"neox", neox_like()},     {"gpt2", gpt2_like()},
          {"bitnet", bitnet_like()}, {"hybrid", hybrid()},
          {"bert", bert_like()},     {"bert mean", bert_like(Pooling::mean)},
          {"embedder", embedder()}};
}

/// N(0, 0.2) for matrices, 0.1 for biases, around their constant for norms: large enough for every
/// part of the wiring to matter.
inline void randomize(TrainableModel& model, uint64_t seed) {
  model.initialize(seed);
  Random random(seed + 1);
  float* values = model.parameters().flat().data_ptr<float>();
  for (const auto& entry : model.parameters().entries())
    for (int64_t i = 0; i < entry.count; ++i) {
      float& x = values[entry.offset + i];
      const auto noise = static_cast<float>(random.normal());
      x = entry.shape.size() == 2 ? 0.2f * noise : x + 0.15f * noise;
    }
  model.refresh();
}

/// Ids [2, positions]; of encoders with types and the second row padded to two thirds.
inline ModelInput random_input(const ModelSpec& spec, int64_t positions, uint64_t seed) {
  Random random(seed);
  at::Tensor ids = at::empty({2, positions}, at::kLong), types = at::empty_like(ids);
  for (int64_t i = 0; i < 2 * positions; ++i) {
    ids.data_ptr<int64_t>()[i] =
        static_cast<int64_t>(random.below(static_cast<uint64_t>(spec.vocab)));
    types.data_ptr<int64_t>()[i] = static_cast<int64_t>(random.below(2));
  }
  if (spec.task == Task::causal_lm) return ids;
  return {ids, types, at::tensor(std::vector<int64_t>{positions, positions * 2 / 3}, at::kLong)};
}

}  // namespace attar::testing
