// Qwen3-Next: Gated DeltaNet and gated attention, with a mixture of experts and a shared expert in
// most layers.
#include "compress/architecture/families/families.h"
#include "compress/architecture/hybrid.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  HybridFields hybrid = read_hybrid(config, "qwen3_next");
  read_experts(config, hybrid);
  return build_hybrid(hybrid, {{"in_proj_qkvz", "qkvz", true}, {"in_proj_ba", "ba", true}});
}

}  // namespace

Family qwen3_next_family() {
  return {"qwen3_next",
          {"Qwen3NextForCausalLM"},
          {"qwen3_next"},
          "Qwen3-Next: Gated DeltaNet layers, gated attention, shared and routed experts",
          read,
          write_hybrid};
}

}  // namespace attar
