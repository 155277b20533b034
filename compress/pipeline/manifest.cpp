#include "compress/pipeline/manifest.h"

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/runtime/packed_cache.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSeal = "manifest_sha256";  // the last key: SHA-256 of the text without it

std::string text_of(const Json& json) {
  return json.dump(2) + "\n";
}

Json to_json(const Manifest& m) {
  return Json{{"attar_manifest", 1},      {"stage", m.stage},
              {"type", m.type},           {"attar_version", m.attar_version},
              {"cache_key", m.cache_key}, {"seed", m.seed},
              {"threads", m.threads},     {"options", m.options},
              {"parents", m.parents},     {"data", m.data},
              {"files", m.files},         {"report_sha256", m.report_sha256},
              {"facts", m.facts}};
}

Manifest from_json(const Json& json) {
  Manifest m;
  json.at("stage").get_to(m.stage);
  json.at("type").get_to(m.type);
  json.at("attar_version").get_to(m.attar_version);
  json.at("cache_key").get_to(m.cache_key);
  json.at("seed").get_to(m.seed);
  json.at("threads").get_to(m.threads);
  m.options = json.at("options");
  json.at("parents").get_to(m.parents);
  json.at("data").get_to(m.data);
  json.at("files").get_to(m.files);
  json.at("report_sha256").get_to(m.report_sha256);
  m.facts = json.at("facts");
  return m;
}

}  // namespace

std::string Manifest::artifact_hash() const {
  Sha256 hash;
  for (const auto& [path, digest] : files) hash.update(path).update("\n").update(digest + "\n");
  return hash.hex();
}

std::optional<Manifest> read_manifest(const fs::path& directory) {
  const fs::path path = directory / "manifest.json";
  if (!fs::exists(path)) return std::nullopt;
  const std::string text = read_text(path);
  const auto refuse = [&](const std::string& why) {
    return bad_input(
        "not a manifest as attar wrote it: " + why, path.string(),
        "if the directory is a damaged artifact, remove it; its stage then runs again");
  };
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("attar_manifest")) throw refuse("no key attar_manifest");
  if (!json.contains(kSeal) || !json[kSeal].is_string())
    throw refuse("it has no checksum of itself");
  const auto seal = json[kSeal].get<std::string>();
  if (text_of(json) != text) throw refuse("its text was changed");
  json.erase(kSeal);
  if (sha256(text_of(json)) != seal) throw refuse("its checksum does not match");
  try {
    return from_json(json);
  } catch (const nlohmann::json::exception& e) {
    throw refuse(e.what());
  }
}

void write_manifest(const Manifest& manifest, const fs::path& directory) {
  Json json = to_json(manifest);
  json[kSeal] = sha256(text_of(json));
  write_file(directory / "manifest.json", text_of(json));
}

std::map<std::string, std::string> hash_files(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), directory).generic_string();
    // The model card is written again when more is known.
    if (name == "manifest.json" || name == "report.json" || name == "model/README.md") continue;
    if (is_packed_cache(entry.path())) continue;  // can be made again, and knows what of
    files[name] = sha256_file(entry.path());
  }
  return files;
}

}  // namespace attar
