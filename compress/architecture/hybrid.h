// What Qwen 3.5 and Qwen3-Next share: Gated DeltaNet in most layers, gated softmax attention in the
// others, norms that multiply by (1 + w); a dense MLP or a mixture of experts with a shared one.
#pragma once

#include <string>
#include <vector>

#include "compress/architecture/decoder.h"

namespace attar {

struct HybridFields {
  DecoderFields decoder;
  std::vector<bool> recurrent;  // per layer: DeltaNet
  bool attention_gate = true;
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0, conv_width = 0;

  std::vector<bool> sparse;  // per layer: experts; empty = none
  int64_t experts = 0, top_k = 0, expert_width = 0, shared_width = 0;
  bool renormalize = true;
};

/// The keys that both families have. Throws bad_input.
HybridFields read_hybrid(const ConfigReader& config, std::string family);

/// Adds the keys of a mixture of experts.
void read_experts(const ConfigReader& config, HybridFields& hybrid);

/// How a family's files hold what DeltaNet reads: the module's name, and the parts of each unit of
/// rows, by the short names of DeltaNetSpec's layers ("q", "k", …). A unit is a key head with its
/// value heads, or everything (units = 1).
struct FusedRows {
  std::string module;
  std::string parts;  // "qkvz"
  bool per_key_head = false;
};

ModelSpec build_hybrid(const HybridFields& hybrid, const std::vector<FusedRows>& fused);

/// Puts the dimensions of a spec into `config`. Throws bad_input unless layers of one kind have the
/// same widths, which is all that such a configuration can say.
void write_hybrid(const ModelSpec& spec, nlohmann::ordered_json& config);

}  // namespace attar
