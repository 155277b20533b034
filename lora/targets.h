// Which linear layers get an adapter, and how large adapters are. Free of LibTorch.
#pragma once

#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"

namespace attar::lora {

/// The linears of `spec`'s blocks that `patterns` name, in execution order. A pattern is a short
/// name
/// ("q_proj"), a module name ("model.layers.0.self_attn.q_proj"), or either with `*` for any text;
/// no pattern means all. bad_input for a pattern that matches nothing.
std::vector<const LinearSpec*> select_targets(const ModelSpec& spec,
                                              const std::vector<std::string>& patterns);

/// rank · (in + out), summed.
int64_t adapter_parameters(const std::vector<const LinearSpec*>& targets, int64_t rank);

}  // namespace attar::lora
