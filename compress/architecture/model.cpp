#include "compress/architecture/model.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "compress/architecture/sentence_modules.h"
#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/xxh64.h"

namespace attar {
namespace {

/// Tensors of the files under the names that the published class gives them.
class PublishedNames : public WeightSource {
 public:
  PublishedNames(const ModelSpec& spec, std::shared_ptr<const WeightSource> files,
                 const std::string& where)
      : files_(std::move(files)) {
    for (WeightInfo info : files_->list()) {
      std::string name = published_name(spec, info.name);
      const auto [place, fresh] = names_.emplace(name, info.name);
      if (!fresh)
        throw bad_input(fmt::format("{} and {} are both {}", place->second, info.name, name),
                        where);
      info.name = std::move(name);
      list_.push_back(std::move(info));
    }
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return names_.contains(name); }
  Weight load(std::string_view name) const override { return files_->load(in_files(name)); }
  Weight load_codes(std::string_view name) const override {
    return files_->load_codes(in_files(name));
  }

 private:
  std::string_view in_files(std::string_view name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? name : std::string_view(found->second);
  }

  std::shared_ptr<const WeightSource> files_;
  std::map<std::string, std::string, std::less<>> names_;  // published -> in the files
  std::vector<WeightInfo> list_;
};

/// Whether published_name() changes any of the files' names.
bool renames(const ModelSpec& spec, const WeightSource& files) {
  return std::any_of(files.list().begin(), files.list().end(), [&](const WeightInfo& info) {
    return published_name(spec, info.name) != info.name;
  });
}

constexpr std::string_view kWeight = ".weight";

/// Explicit targets in the spec's names, whatever expression named the published modules.
void expand_targets(const ModelSpec& spec, const Storage& storage, LoraConfig& config) {
  std::vector<std::string> targets;
  for (const TensorSpec& tensor : tensors(spec)) {
    if (tensor.shape.size() != 2 || !tensor.name.ends_with(kWeight)) continue;
    const std::string stored = storage.stored_name(tensor.name);
    if (config.targets_module(std::string_view(stored).substr(0, stored.size() - kWeight.size())))
      targets.push_back(tensor.name.substr(0, tensor.name.size() - kWeight.size()));
  }
  config.targets = std::move(targets);
  config.target_expression.clear();
  config.layers.clear();
}

/// The rows of `module`'s B that belong to one part.
LoraModule part_of(const LoraModule& module, const Storage::Place& place, const std::string& name) {
  LoraModule part{name, module.rank, place.whole->units * place.rows, module.in, module.a,
                  {},   module.scale};
  part.b.resize(static_cast<size_t>(part.out * part.rank));
  place.for_runs([&](int64_t to, int64_t from, int64_t count) {
    std::copy_n(module.b.begin() + from * module.rank, count * module.rank,
                part.b.begin() + to * module.rank);
  });
  return part;
}

}  // namespace

Model open_model(const fs::path& path) {
  return open_model(ModelDirectory::open(path));
}

Model open_model(ModelDirectory directory) {
  Model model;
  model.path = std::move(directory.path);
  const std::string where = (model.path / "config.json").string();
  model.config = text_config(directory.config, where);
  model.spec = read_model_spec(model.config, where);
  model.stored = std::move(directory.weights);
  model.weight_bytes = directory.weight_bytes;
  model.weight_files = std::move(directory.weight_files);
  const std::string config =
      directory.config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  model.config_hash = content_hash(std::as_bytes(std::span(config)));
  if (renames(model.spec, *model.stored))
    model.stored = std::make_shared<PublishedNames>(model.spec, model.stored, model.path.string());
  fit_model_spec(model.spec, *model.stored);
  read_sentence_modules(model.path, model.spec);
  model.notes = check_weights(model.spec, *model.stored, model.path.string());
  model.weights = logical_weights(model.spec, model.stored);
  return model;
}

Model with_adapter(Model base, const fs::path& adapter) {
  const std::string where = adapter.string();
  base.weight_files.clear();
  base.weights =
      with_adapter(base.weights, logical_adapter(base.spec, read_adapter(adapter), where), where);
  return base;
}

Adapter logical_adapter(const ModelSpec& spec, Adapter adapter, const std::string& where) {
  const Storage storage(spec);
  Adapter result{std::move(adapter.config), {}, {}};
  if (result.config.target_expression != "all-linear") expand_targets(spec, storage, result.config);
  result.config.fan_in_fan_out = false;  // the spec's matrices are [out, in]
  for (LoraModule& module : adapter.modules) {
    module.module = published_name(spec, module.module + std::string(kWeight));
    module.module.resize(module.module.size() - kWeight.size());
    const StoredTensor* whole = storage.whole(module.module + std::string(kWeight));
    if (whole == nullptr) {
      result.modules.push_back(std::move(module));
      continue;
    }
    for (const auto& part : whole->parts) {
      const Storage::Place& place = *storage.find(part.tensor);
      if (module.out != whole->units * place.unit_rows)
        throw bad_input(fmt::format("the adapter is for a layer of {} outputs, the base has {}",
                                    module.out, whole->units * place.unit_rows),
                        fmt::format("{}: module {}", where, module.module),
                        "the adapter belongs to another base model");
      result.modules.push_back(
          part_of(module, place, part.tensor.substr(0, part.tensor.size() - kWeight.size())));
    }
  }
  for (SavedTensor& tensor : adapter.saved) {
    tensor.name = published_name(spec, tensor.name);
    if (const StoredTensor* whole = storage.whole(tensor.name)) {
      if (whole->parts.size() != 1 || whole->transposed)
        throw bad_input("a fused layer that was trained whole is not read",
                        fmt::format("{}: tensor {}", where, tensor.name));
      tensor.name = whole->parts.front().tensor;
    }
    result.saved.push_back(std::move(tensor));
  }
  return result;
}

namespace {

/// One pair for all parts of `whole`, from those of them that have one.
LoraModule fused(const StoredTensor& whole, const Storage& storage,
                 const std::vector<const LoraModule*>& parts) {
  LoraModule result;
  result.module = whole.name.substr(0, whole.name.size() - kWeight.size());
  result.in = parts.front()->in;
  result.scale = parts.front()->scale;
  for (const LoraModule* part : parts) {
    if (part->scale != result.scale)
      throw bad_input(fmt::format("{} and {} have different scales, but {} holds both",
                                  parts.front()->module, part->module, result.module),
                      result.module, "give them one alpha and one rank");
    result.rank += part->rank;
    result.a.insert(result.a.end(), part->a.begin(), part->a.end());
  }
  result.out = whole.units * storage.find(whole.parts.front().tensor)->unit_rows;
  result.b.resize(static_cast<size_t>(result.out * result.rank));
  int64_t column = 0;
  for (const LoraModule* part : parts) {
    const auto* place = storage.find(part->module + std::string(kWeight));
    place->for_runs([&](int64_t from, int64_t to, int64_t count) {
      for (int64_t row = 0; row < count; ++row)
        std::copy_n(part->b.begin() + (from + row) * part->rank, part->rank,
                    result.b.begin() + (to + row) * result.rank + column);
    });
    column += part->rank;
  }
  return result;
}

}  // namespace

Adapter stored_adapter(const ModelSpec& spec, const Adapter& adapter) {
  const Storage storage(spec);
  Adapter result{adapter.config, {}, {}};
  result.config.targets.clear();
  std::map<std::string, std::vector<const LoraModule*>> parts;
  for (const LoraModule& module : adapter.modules)
    if (const auto* place = storage.find(module.module + std::string(kWeight)))
      parts[place->whole->name].push_back(&module);
  for (const LoraModule& module : adapter.modules) {
    const auto* place = storage.find(module.module + std::string(kWeight));
    if (place == nullptr) {
      result.modules.push_back(module);
    } else {
      const auto group = parts.find(place->whole->name);
      if (group == parts.end()) continue;  // written with its first part
      result.modules.push_back(fused(*place->whole, storage, group->second));
      const LoraModule& whole = result.modules.back();
      result.config.fan_in_fan_out |= place->whole->transposed;
      if (whole.rank != result.config.rank) {
        const auto rank = static_cast<double>(whole.rank);
        result.config.ranks.emplace_back(whole.module, whole.rank);
        result.config.alphas.emplace_back(
            whole.module, whole.scale * (result.config.rslora ? std::sqrt(rank) : rank));
      }
      parts.erase(group);
    }
    result.config.targets.push_back(result.modules.back().module);
  }
  for (SavedTensor tensor : adapter.saved) {
    tensor.name = storage.stored_name(tensor.name);
    result.saved.push_back(std::move(tensor));
  }
  return result;
}

}  // namespace attar
