#include "compress/pipeline/cache.h"

#include <algorithm>
#include <chrono>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/data/document_readers.h"
#include "compress/formats/gguf/file.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

int64_t nanoseconds(fs::file_time_type time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

/// A file written this recently may change again within the resolution of its time stamp.
constexpr int64_t kSettled = 2'000'000'000;

bool is_model_file(const fs::path& path) {
  for (const char* extension :
       {".json", ".safetensors", ".gguf", ".model", ".tiktoken", ".jinja", ".txt"})
    if (path.extension() == extension) return true;
  return false;
}

std::vector<fs::path> sorted(std::vector<fs::path> files) {
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

FileHashes::FileHashes(fs::path store) : store_(std::move(store)) {
  std::error_code missing;
  if (!fs::is_regular_file(store_, missing)) return;
  const Json json = Json::parse(read_text(store_), nullptr, false);
  try {
    for (const auto& [path, entry] : json.at("files").items())
      entries_[path] = {entry.at(0), entry.at(1), entry.at(2)};
    json.at("checked").get_to(checked_);
  } catch (const nlohmann::json::exception&) {
    entries_.clear();  // only a memory of what can be computed again
    checked_.clear();
  }
}

std::string FileHashes::of(const fs::path& file) {
  std::error_code code;
  const uint64_t size = fs::file_size(file, code);
  const int64_t modified = code ? 0 : nanoseconds(fs::last_write_time(file, code));
  if (code) throw bad_input("cannot read file: " + code.message(), file.string());
  const std::string key = fs::absolute(file).lexically_normal().string();
  const auto known = entries_.find(key);
  if (known != entries_.end() && known->second.size == size && known->second.modified == modified)
    return known->second.sha256;
  std::string digest = sha256_file(file);
  if (nanoseconds(fs::file_time_type::clock::now()) - modified > kSettled)
    entries_[key] = {size, modified, digest};
  return digest;
}

std::string FileHashes::of(const std::vector<fs::path>& files, const fs::path& base) {
  Sha256 hash;
  for (const auto& file : files)
    hash.update(fs::relative(file, base).generic_string()).update("\n").update(of(file) + "\n");
  return hash.hex();
}

void FileHashes::save() const {
  Json files = Json::object();
  for (const auto& [path, entry] : entries_)
    files[path] = Json::array({entry.size, entry.modified, entry.sha256});
  fs::create_directories(store_.parent_path());
  write_file(store_, Json{{"files", files}, {"checked", checked_}}.dump(1) + "\n");
}

std::vector<fs::path> model_files(const fs::path& directory) {
  if (const auto file = gguf::find_model_file(directory)) return {*file};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.is_regular_file() && is_model_file(entry.path())) files.push_back(entry.path());
  // How a sentence embedder pools.
  const fs::path pooling = directory / "1_Pooling" / "config.json";
  if (fs::exists(pooling)) files.push_back(pooling);
  return sorted(std::move(files));
}

Json describe_data(const DataSpec& d) {
  Json json = {{"format", d.format}, {"include", d.include},   {"field", d.field}, {"pair", d.pair},
               {"label", d.label},   {"messages", d.messages}, {"split", d.split}};
  if (d.samples) json["samples"] = *d.samples;
  if (d.length) json["length"] = *d.length;
  if (d.skip) json["skip"] = *d.skip;
  if (d.take) json["take"] = *d.take;
  return json;
}

const std::string& CacheKeys::model_hash() {
  if (model_hash_.empty()) model_hash_ = hashes_.of(model_files(recipe_.model), recipe_.model);
  return model_hash_;
}

const std::string& CacheKeys::data_hash(const std::string& name) {
  std::string& hash = data_hashes_[name];
  const DataSpec& data = *recipe_.find_data(name);
  if (hash.empty())
    hash = sha256(describe_data(data).dump() + hashes_.of(data_files(data), data.path));
  return hash;
}

std::optional<Manifest> CacheKeys::draft(const StageSpec& spec,
                                         const std::map<std::string, std::string>& artifacts) {
  const StageType& type = *find_stage_type(tools_, spec.type);
  Problems problems;
  Manifest m;
  m.stage = spec.name;
  m.type = spec.type;
  m.attar_version = ATTAR_VERSION;
  m.seed = stage_seed(recipe_.seed, spec.name);
  m.threads = type.trains ? threads_ : 0;
  m.options = type.resolve(spec.options, problems);
  std::vector<std::string> data, parents;
  if (type.references) type.references(spec.options, data, parents);
  problems.throw_if_any();
  if (spec.from != "model" || !recipe_.model.empty()) parents.push_back(spec.from);
  for (const auto& parent : parents) {
    if (parent == "model") {
      m.parents[parent] = model_hash();
    } else if (is_directory_reference(parent)) {
      const fs::path directory = recipe_.file.parent_path() / parent;
      m.parents[parent] = hashes_.of(model_files(directory), directory);
    } else {
      const auto known = artifacts.find(parent);
      if (known == artifacts.end()) return std::nullopt;
      m.parents[parent] = known->second;
    }
  }
  for (const auto& name : data) m.data[name] = data_hash(name);
  m.cache_key = sha256(Json{
      {"type", m.type},
      {"from", spec.from},
      {"options", m.options},
      {"parents", m.parents},
      {"data", m.data},
      {"seed", m.seed},
      {"threads", m.threads},
      {"version",
       m.attar_version}}.dump());
  return m;
}

const StageType* find_stage_type(const Toolbox& tools, std::string_view name) {
  const auto row = std::find_if(tools.stages.begin(), tools.stages.end(),
                                [&](const StageType& type) { return type.name == name; });
  return row == tools.stages.end() ? nullptr : &*row;
}

uint64_t stage_seed(uint64_t recipe_seed, const std::string& stage_name) {
  return std::stoull(sha256(std::to_string(recipe_seed) + ":" + stage_name).substr(0, 16), nullptr,
                     16);
}

std::optional<Manifest> find_finished(const fs::path& directory, const Manifest& draft,
                                      FileHashes& hashes) {
  auto manifest = read_manifest(directory);
  if (!manifest || manifest->cache_key != draft.cache_key) return std::nullopt;
  for (const auto& [name, digest] : manifest->files)
    if (!fs::is_regular_file(directory / name) || hashes.of(directory / name) != digest)
      return std::nullopt;
  const fs::path report = directory / "report.json";
  if (!fs::is_regular_file(report) || hashes.of(report) != manifest->report_sha256)
    return std::nullopt;
  return manifest;
}

}  // namespace attar
