// Qwen 3.5 (dense): Gated DeltaNet in three of four layers, gated attention in the fourth.
#include "compress/architecture/families/families.h"
#include "compress/architecture/hybrid.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  return build_hybrid(read_hybrid(config, "qwen3_5"), {{"in_proj_qkv", "qkv"}});
}

}  // namespace

Family qwen3_5_family() {
  Family family{"qwen3_5",
                {"Qwen3_5ForCausalLM"},
                {"qwen3_5_text"},
                "Qwen 3.5 dense, the text part: Gated DeltaNet layers and gated attention",
                read,
                write_hybrid};
  family.multimodal = {"Qwen3_5ForConditionalGeneration", "qwen3_5"};
  family.renamings = {{"model.language_model.", "model."}};
  return family;
}

}  // namespace attar
