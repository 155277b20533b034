// Any bytes as adapter_config.json: refused with bad_input, or usable for any module.
#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "compress/formats/peft.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto json = attar::parse_json<nlohmann::ordered_json>(text, "adapter_config.json");
    const auto config = attar::read_lora_config(json, "adapter_config.json");
    for (const char* module : {"model.layers.1.self_attn.q_proj", "lm_head", "a.99999999999.b"}) {
      (void)config.targets_module(module);
      (void)config.scale_of(module);
      if (config.rank_of(module) < 1) std::abort();
    }
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
