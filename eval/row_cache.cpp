#include "eval/row_cache.h"

#include "compress/base/files.h"
#include "compress/base/hash.h"

namespace attar::eval {

using Json = nlohmann::ordered_json;

std::optional<std::vector<EvaluationRow>> RowCache::find(const std::string& key) const {
  const fs::path file = directory_ / (key + ".json");
  if (!enabled() || !fs::exists(file)) return std::nullopt;
  try {
    const Json json = Json::parse(read_text(file));
    if (json.at("sha256") != sha256(json.at("rows").dump())) return std::nullopt;
    std::vector<EvaluationRow> rows;
    for (const auto& row : json.at("rows")) rows.push_back(evaluation_row_from_json(row));
    return rows;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

void RowCache::store(const std::string& key, const std::vector<EvaluationRow>& rows) const {
  if (!enabled()) return;
  Json list = Json::array();
  for (const auto& row : rows) list.push_back(to_json(row));
  fs::create_directories(directory_);
  write_file(directory_ / (key + ".json"),
             Json{{"sha256", sha256(list.dump())}, {"rows", list}}.dump(1) + "\n");
}

}  // namespace attar::eval
