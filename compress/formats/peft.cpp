#include "compress/formats/peft.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <map>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/formats/json.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";

/// "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight" -> the module; "" when it is none.
std::string module_of(std::string_view name, std::string_view suffix) {
  if (!name.starts_with(kPrefix) || !name.ends_with(suffix) ||
      name.size() <= kPrefix.size() + suffix.size())
    return {};
  name.remove_suffix(suffix.size());
  return std::string(name.substr(kPrefix.size()));
}

/// 16 rather than 16.0.
ordered_json plain_number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

void read_factors(const Safetensors& file, const TensorView& a, LoraModule& module,
                  const LoraConfig& config) {
  const std::string where = file.path().string();
  const TensorView* b = file.find(fmt::format("{}{}{}", kPrefix, module.module, kB));
  if (b == nullptr) throw bad_input("lora_A without lora_B", where + ": module " + module.module);
  const int64_t rank = config.rank_of(module.module);
  if (a.shape.size() != 2 || b->shape.size() != 2 || a.shape[0] != rank || b->shape[1] != rank)
    throw bad_input(
        fmt::format("lora_A [{}] and lora_B [{}] do not have rank {}, which {} says",
                    fmt::join(a.shape, ", "), fmt::join(b->shape, ", "), rank, kConfigFile),
        where + ": module " + module.module);
  if (!config.targets_module(module.module))
    throw bad_input(
        fmt::format("the file has factors for a layer that {} does not target", kConfigFile),
        where + ": module " + module.module);
  module.rank = rank;
  module.scale = config.scale_of(module.module);
  module.in = a.shape[1];
  module.out = b->shape[0];
  module.a = a.floats();
  module.b = b->floats();
  require_finite(a.name, module.a);
  require_finite(b->name, module.b);
}

/// target += s·B·A, one row of the result at a time; `target` is [out, in].
void add_product(const LoraModule& m, std::vector<float>& target) {
  const auto scale = static_cast<float>(m.scale);
  parallel_for(m.out, 16, [&](int64_t first, int64_t last) {
    std::vector<float> row(static_cast<size_t>(m.in));
    for (int64_t o = first; o < last; ++o) {
      std::fill(row.begin(), row.end(), 0.0f);
      for (int64_t r = 0; r < m.rank; ++r) {
        const float factor = m.b[static_cast<size_t>(o * m.rank + r)];
        const float* a = m.a.data() + r * m.in;
        for (int64_t i = 0; i < m.in; ++i) row[static_cast<size_t>(i)] += factor * a[i];
      }
      float* to = target.data() + o * m.in;
      for (int64_t i = 0; i < m.in; ++i) to[i] += scale * row[static_cast<size_t>(i)];
    }
  });
}

class AdaptedSource : public WeightSource {
 public:
  AdaptedSource(std::shared_ptr<const WeightSource> base, Adapter adapter, const std::string& where)
      : base_(std::move(base)), config_(std::move(adapter.config)), list_(base_->list()) {
    for (LoraModule& module : adapter.modules)
      modules_.emplace(module.module + ".weight", std::move(module));
    for (SavedTensor& tensor : adapter.saved) {
      if (!base_->has(tensor.name))
        throw bad_input("the adapter has a tensor that the base model does not have",
                        fmt::format("{}: tensor {}", where, tensor.name),
                        "the base must be a classifier with the adapter's labels");
      saved_.emplace(tensor.name, std::move(tensor));
    }
    for (const auto& [weight, module] : modules_)
      if (!base_->has(weight))
        throw bad_input("the adapter changes a layer that the base model does not have",
                        fmt::format("{}: module {}", where, module.module),
                        "the adapter belongs to another base model");
    for (WeightInfo& info : list_) check(info, where);
  }

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return base_->has(name); }

  Weight load(std::string_view name) const override {
    if (const auto whole = saved_.find(name); whole != saved_.end())
      return dense_tensor(whole->second.values, whole->second.shape);
    const auto found = modules_.find(name);
    if (found == modules_.end()) return base_->load(name);
    const LoraModule& module = found->second;
    std::vector<float> values = base_->floats(name);
    add_product(module, values);
    return dense_tensor(std::move(values), {module.out, module.in});
  }

  Weight load_codes(std::string_view name) const override {
    const bool changed = saved_.contains(name) || modules_.contains(name);
    return changed ? load(name) : base_->load_codes(name);
  }

 private:
  /// A listed weight against its factors, or against the targets when it has none.
  void check(WeightInfo& info, const std::string& where) const {
    const std::string_view name = info.name;
    constexpr std::string_view kSuffix = ".weight";
    if (const auto whole = saved_.find(name); whole != saved_.end()) {
      if (whole->second.shape != info.shape)
        throw bad_input(
            fmt::format("the adapter has [{}], the base model [{}]",
                        fmt::join(whole->second.shape, ", "), fmt::join(info.shape, ", ")),
            fmt::format("{}: tensor {}", where, name), "the adapter belongs to another base model");
      info.format = "F32 of the adapter";
      info.bytes = whole->second.values.size() * sizeof(float);
      return;
    }
    const auto found = modules_.find(name);
    if (found == modules_.end()) {
      const bool matrix = name.ends_with(kSuffix) && info.shape.size() == 2;
      if (matrix && config_.target_expression != "all-linear" &&
          config_.targets_module(name.substr(0, name.size() - kSuffix.size())))
        throw bad_input(
            fmt::format("{} targets {}, but the adapter has no factors for it", kConfigFile, name),
            where, "the adapter is incomplete or belongs to another base model");
      return;
    }
    const LoraModule& module = found->second;
    if (info.shape != std::vector<int64_t>{module.out, module.in})
      throw bad_input(fmt::format("the adapter is for a layer of [{}, {}], the base model has [{}]",
                                  module.out, module.in, fmt::join(info.shape, ", ")),
                      fmt::format("{}: module {}", where, module.module),
                      "the adapter belongs to another base model");
    info.format += fmt::format(" + LoRA r{}", module.rank);
    info.bytes += (module.a.size() + module.b.size()) * sizeof(float);
  }

  std::shared_ptr<const WeightSource> base_;
  LoraConfig config_;
  std::vector<WeightInfo> list_;
  std::map<std::string, LoraModule, std::less<>> modules_;  // by the name of the weight
  std::map<std::string, SavedTensor, std::less<>> saved_;
};

/// "base_model.model.classifier.weight", in older files "…classifier.modules_to_save.weight" or
/// "…modules_to_save.default.weight", -> "classifier.weight".
std::string saved_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return {};
  std::string own(name.substr(kPrefix.size()));
  for (const char* part : {".modules_to_save.default.", ".modules_to_save."})
    if (const size_t at = own.find(part); at != std::string::npos) {
      own.replace(at, std::string_view(part).size(), ".");
      break;
    }
  return own;
}

}  // namespace

Adapter read_adapter(const fs::path& directory) {
  const fs::path config = directory / kConfigFile;
  if (!fs::exists(config))
    throw bad_input(
        fmt::format("no {}: this is no PEFT adapter", kConfigFile), directory.string(),
        "give a directory that holds adapter_config.json and adapter_model.safetensors");
  Adapter adapter;
  adapter.config = read_lora_config(
      parse_json<ordered_json>(MappedFile::open(config).text(), config.string()), config.string());
  const auto file = Safetensors::open(directory / kWeightsFile);
  for (const TensorView& tensor : file.tensors()) {
    const std::string module = module_of(tensor.name, kA), of_b = module_of(tensor.name, kB);
    const std::string own = saved_name(tensor.name);
    if (module.empty() && of_b.empty() && adapter.config.saves_tensor(own)) {
      adapter.saved.push_back({own, tensor.shape, tensor.floats()});
      require_finite(tensor.name, adapter.saved.back().values);
      continue;
    }
    if (module.empty() && of_b.empty())
      throw bad_input(
          "not a factor of a linear layer (lora_A or lora_B) nor of modules_to_save; embeddings "
          "and magnitude vectors are not supported",
          fmt::format("{}: tensor {}", file.path().string(), tensor.name));
    if (module.empty()) {
      if (file.find(fmt::format("{}{}{}", kPrefix, of_b, kA)) == nullptr)
        throw bad_input("lora_B without lora_A", file.path().string() + ": module " + of_b);
      continue;
    }
    adapter.modules.push_back({module, 0, 0, 0, {}, {}});
    read_factors(file, tensor, adapter.modules.back(), adapter.config);
  }
  if (adapter.modules.empty())
    throw bad_input("the adapter changes no layer", file.path().string());
  return adapter;
}

void write_adapter(const fs::path& directory, const Adapter& adapter) {
  const LoraConfig& config = adapter.config;
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const LoraModule& m : adapter.modules) {
    const std::string name = std::string(kPrefix) + m.module;
    declarations.push_back({name + std::string(kA), DType::f32, {m.rank, m.in}});
    declarations.push_back({name + std::string(kB), DType::f32, {m.out, m.rank}});
  }
  for (const SavedTensor& tensor : adapter.saved)
    declarations.push_back({std::string(kPrefix) + tensor.name, DType::f32, tensor.shape});
  SafetensorsWriter writer(directory / kWeightsFile, std::move(declarations), {{"format", "pt"}});
  for (const LoraModule& m : adapter.modules) {
    const std::string name = std::string(kPrefix) + m.module;
    writer.write_floats(name + std::string(kA), m.a);
    writer.write_floats(name + std::string(kB), m.b);
  }
  for (const SavedTensor& tensor : adapter.saved)
    writer.write_floats(std::string(kPrefix) + tensor.name, tensor.values);
  writer.finish();

  ordered_json json;
  json["peft_type"] = "LORA";
  json["task_type"] =
      config.task_type.empty() ? ordered_json(nullptr) : ordered_json(config.task_type);
  json["base_model_name_or_path"] = config.base_model;
  json["revision"] = nullptr;
  json["r"] = config.rank;
  json["lora_alpha"] = plain_number(config.alpha);
  json["lora_dropout"] = config.dropout;
  json["bias"] = "none";
  json["fan_in_fan_out"] = config.fan_in_fan_out;
  json["use_rslora"] = config.rslora;
  json["use_dora"] = false;
  json["target_modules"] = config.target_expression.empty()
                               ? ordered_json(config.targets)
                               : ordered_json(config.target_expression);
  json["rank_pattern"] = ordered_json::object();
  for (const auto& [name, rank] : config.ranks) json["rank_pattern"][name] = rank;
  json["alpha_pattern"] = ordered_json::object();
  for (const auto& [name, alpha] : config.alphas) json["alpha_pattern"][name] = plain_number(alpha);
  json["layers_to_transform"] =
      config.layers.empty() ? ordered_json(nullptr) : ordered_json(config.layers);
  json["layers_pattern"] = nullptr;
  json["modules_to_save"] =
      config.saved.empty() ? ordered_json(nullptr) : ordered_json(config.saved);
  json["inference_mode"] = true;
  json["init_lora_weights"] = true;
  write_file(directory / kConfigFile, json.dump(2) + "\n");
}

std::shared_ptr<const WeightSource> with_adapter(std::shared_ptr<const WeightSource> base,
                                                 const fs::path& adapter) {
  return with_adapter(std::move(base), read_adapter(adapter), adapter.string());
}

std::shared_ptr<const WeightSource> with_adapter(std::shared_ptr<const WeightSource> base,
                                                 Adapter adapter, const std::string& where) {
  return std::make_shared<AdaptedSource>(std::move(base), std::move(adapter), where);
}

}  // namespace attar
