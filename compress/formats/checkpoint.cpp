#include "compress/formats/checkpoint.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/json.h"

namespace attar {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

Error no_weights(const fs::path& directory) {
  std::string hint = fmt::format("expected {} or {}", kSingle, kIndex);
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const std::string extension = entry.path().extension().string();
    if (extension == ".bin" || extension == ".pth" || extension == ".gguf")
      hint += fmt::format("; {} is of another format, convert it to safetensors", name);
  }
  return bad_input("the model directory holds no weights", directory.string(), hint);
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& directory) {
  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  const bool single = fs::exists(directory / kSingle), index = fs::exists(directory / kIndex);
  if (single && index)
    throw bad_input(fmt::format("both {} and {} are there, and they may differ", kSingle, kIndex),
                    directory.string(), "remove the one that is not meant");
  if (!single && !index) throw no_weights(directory);
  if (single)
    checkpoint.add(directory / kSingle);
  else
    checkpoint.read_index(directory / kIndex);
  return checkpoint;
}

std::vector<MappedFile> Checkpoint::files() const {
  std::vector<MappedFile> files;
  for (const auto& file : files_) files.push_back(file->file());
  return files;
}

void Checkpoint::add(const fs::path& file) {
  files_.push_back(std::make_shared<const Safetensors>(Safetensors::open(file)));
  file_bytes_ += fs::file_size(file);
  for (const TensorView& tensor : files_.back()->tensors()) {
    const auto [place, fresh] = by_name_.try_emplace(tensor.name, &tensor, files_.size() - 1);
    if (!fresh)
      throw bad_input(fmt::format("the tensor stands in two shards, also in {}",
                                  files_[place->second.second]->path().filename().string()),
                      fmt::format("{}: tensor {}", file.string(), tensor.name));
    tensors_.push_back(&tensor);
  }
}

void Checkpoint::read_index(const fs::path& index) {
  const std::string where = index.string();
  const auto json = parse_json<nlohmann::json>(MappedFile::open(index).text(), where);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw bad_input("the index has no \"weight_map\" object", where);
  std::map<std::string, int64_t> promised;  // shard -> tensors
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string() ||
        fs::path(shard.get<std::string>()).filename() != shard.get<std::string>())
      throw bad_input(fmt::format("{} is no file name", shard.dump()),
                      fmt::format("{}: weight_map.{}", where, tensor));
    ++promised[shard.get<std::string>()];
  }
  if (promised.empty()) throw bad_input("the index lists no tensors", where);
  for (const auto& [shard, count] : promised)
    if (!fs::exists(directory_ / shard))
      throw bad_input(fmt::format("missing shard {}, which should hold {} tensors", shard, count),
                      where, "fetch the missing file again");
  for (const auto& [shard, count] : promised) add(directory_ / shard);

  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    const auto found = by_name_.find(tensor);
    const bool there = found != by_name_.end() &&
                       files_[found->second.second]->path().filename() == shard.get<std::string>();
    if (!there)
      throw bad_input(fmt::format("the index promises tensor {} in {}, which does not hold it",
                                  tensor, shard.get<std::string>()),
                      where, "index and shards are not of the same model");
  }
  for (const TensorView* tensor : tensors_)
    if (!json["weight_map"].contains(tensor->name))
      throw bad_input("the tensor is in the shard but not in the index", place(*tensor),
                      "index and shards are not of the same model");
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second.first;
}

const TensorView& Checkpoint::at(std::string_view name) const {
  if (const TensorView* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const TensorView* tensor : tensors_) names.push_back(tensor->name);
  const std::string close = nearest(name, names);
  throw bad_input(fmt::format("no tensor \"{}\"", name), directory_.string(),
                  close.empty() ? "attar inspect lists the tensors of a model"
                                : fmt::format("did you mean \"{}\"?", close));
}

std::shared_ptr<const void> Checkpoint::owner(const TensorView& tensor) const {
  return files_[by_name_.at(tensor.name).second];
}

std::string Checkpoint::place(const TensorView& tensor) const {
  return fmt::format("{}: tensor {}", files_[by_name_.at(tensor.name).second]->path().string(),
                     tensor.name);
}

}  // namespace attar
