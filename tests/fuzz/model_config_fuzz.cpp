// Any bytes as config.json: refused with bad_input, or a spec that holds together and survives
// being written.
#include "compress/architecture/family.h"
#include "compress/architecture/shrink.h"
#include "compress/base/error.h"
#include "compress/formats/json.h"

namespace {

void check(const attar::ModelSpec& spec) {
  if (spec.parameters() <= 0) std::abort();
  for (const attar::RopeSpec& rope : spec.ropes) (void)rope.frequencies();
  for (const attar::BlockSpec& block : spec.blocks) {
    const attar::AttentionSpec& attention = block.attention;
    if (!block.delta_net && (attention.kv_heads < 1 || attention.heads % attention.kv_heads != 0))
      std::abort();
    if (block.linears().empty() || block.mlps().empty()) std::abort();
  }
  (void)attar::dependency_groups(spec);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    auto json = attar::parse_json<nlohmann::ordered_json>(text, "config.json");
    const attar::ModelSpec spec = attar::read_model_spec(json, "config.json");
    check(spec);
    attar::write_model_spec(spec, json);
    if (attar::read_model_spec(json, "config.json").parameters() != spec.parameters()) std::abort();
    attar::read_model_spec(attar::shrunken_config(json, "config.json"), "shrunken");
  } catch (const attar::Error& error) {
    if (error.code() != attar::ExitCode::bad_input) std::abort();
  }
  return 0;
}
