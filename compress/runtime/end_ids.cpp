#include "compress/runtime/end_ids.h"

#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/formats/json.h"

namespace attar {

std::vector<int32_t> end_ids(const fs::path& directory, const ModelSpec& spec) {
  std::vector<int32_t> ids(spec.eos_ids.begin(), spec.eos_ids.end());
  const auto path = directory / "generation_config.json";
  if (!fs::exists(path)) return ids;
  const auto config = parse_json<nlohmann::json>(read_text(path), path.string());
  if (!config.is_object()) throw bad_input("not a JSON object", path.string());
  const auto eos = config.value("eos_token_id", nlohmann::json());
  for (const auto& id : eos.is_array() ? eos : nlohmann::json::array({eos}))
    if (id.is_number_integer()) ids.push_back(id.get<int32_t>());
  return ids;
}

}  // namespace attar
