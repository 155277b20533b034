#include "compress/formats/model_writer.h"

#include <fmt/core.h>

#include <array>
#include <set>

#include "compress/base/error.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kWeight = ".weight";

/// "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj"
std::string module_of(const std::string& name) {
  return name.substr(0, name.size() - kWeight.size());
}

bool flag(const ordered_json& config, const char* key) {
  const auto found = config.find(key);
  return found != config.end() && found->is_boolean() && found->get<bool>();
}

std::vector<SafetensorsWriter::Declaration> declarations(const std::vector<TensorPlan>& plans,
                                                         const QuantFormat& format) {
  std::vector<SafetensorsWriter::Declaration> all;
  for (const TensorPlan& plan : plans) {
    if (!plan.layout) {
      all.push_back({plan.name, plan.dtype, plan.shape});
      continue;
    }
    if (!plan.name.ends_with(kWeight) || plan.shape.size() != 2)
      throw failure("only the weight matrix of a linear layer can be quantized",
                    fmt::format("tensor {}", plan.name));
    const std::string objection = format.objection(plan.shape[0], plan.shape[1], *plan.layout);
    if (!objection.empty())
      throw bad_input(fmt::format("the layout {} cannot hold it: {}", format.name, objection),
                      fmt::format("tensor {}", plan.name));
    const auto parts =
        format.declare(module_of(plan.name), plan.shape[0], plan.shape[1], *plan.layout);
    all.insert(all.end(), parts.begin(), parts.end());
  }
  return all;
}

/// Adds what the tensors say to the configuration: quantization_config and the element type.
void describe(const std::vector<TensorPlan>& plans, const QuantFormat& format,
              ordered_json& config) {
  std::vector<std::pair<std::string, QuantLayout>> quantized;
  std::vector<std::string> ignored;
  std::set<DType> dtypes;
  for (const TensorPlan& plan : plans) {
    if (plan.layout)
      quantized.emplace_back(module_of(plan.name), *plan.layout);
    else if (plan.shape.size() == 2 && plan.name.ends_with(kWeight) &&
             !is_embedding(module_of(plan.name)))
      ignored.push_back(module_of(plan.name));
    if (!plan.layout && is_float(plan.dtype)) dtypes.insert(plan.dtype);
  }
  config.erase("quantization_config");
  if (!quantized.empty()) {
    // A tied head has no tensor, but loaders build the layer and would look for its codes.
    const std::string head = "lm_head";
    if (flag(config, "tie_word_embeddings") &&
        std::find(ignored.begin(), ignored.end(), head) == ignored.end())
      ignored.push_back(head);
    config["quantization_config"] = format.config(quantized, ignored);
  }
  if (dtypes.size() != 1) return;
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key)) config[key] = torch_dtype_name(*dtypes.begin());
}

}  // namespace

struct ModelWriter::State {
  fs::path directory;
  ordered_json config;
  const QuantFormat* format = nullptr;
  std::map<std::string, TensorPlan> plans;
  std::unique_ptr<SafetensorsWriter> writer;

  const TensorPlan& plan(const std::string& name, bool quantized) const {
    const auto found = plans.find(name);
    if (found == plans.end() || found->second.layout.has_value() != quantized)
      throw failure(found == plans.end() ? "a tensor is written that was not planned"
                    : quantized          ? "codes are written for a tensor planned as dense"
                                         : "floats are written for a tensor planned as quantized",
                    fmt::format("{}: tensor {}", directory.string(), name));
    return found->second;
  }
};

ModelWriter::ModelWriter(fs::path directory, ordered_json config, std::vector<TensorPlan> tensors,
                         const fs::path& side_files_from, const QuantFormat& format)
    : state_(std::make_unique<State>()) {
  state_->directory = std::move(directory);
  state_->config = std::move(config);
  state_->format = &format;
  describe(tensors, format, state_->config);
  state_->writer = std::make_unique<SafetensorsWriter>(
      state_->directory / "model.safetensors", declarations(tensors, format),
      std::map<std::string, std::string>{{"format", "pt"}});
  for (TensorPlan& tensor : tensors) state_->plans.emplace(tensor.name, std::move(tensor));
  if (!side_files_from.empty()) copy_side_files(side_files_from, state_->directory);
}

ModelWriter::~ModelWriter() = default;

void ModelWriter::write(const std::string& name, std::span<const float> values) {
  state_->plan(name, false);
  state_->writer->write_floats(name, values);
}

void ModelWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  state_->plan(name, false);
  state_->writer->write(name, bytes);
}

void ModelWriter::write(const std::string& name, const QuantizedMatrix& q) {
  const TensorPlan& plan = state_->plan(name, true);
  if (q.layout != *plan.layout || q.rows != plan.shape[0] || q.cols != plan.shape[1])
    throw failure(fmt::format("codes are {} [{}, {}], planned were {} [{}, {}]", q.layout.name(),
                              q.rows, q.cols, plan.layout->name(), plan.shape[0], plan.shape[1]),
                  fmt::format("{}: tensor {}", state_->directory.string(), name));
  state_->format->write(*state_->writer, module_of(name), q);
}

void ModelWriter::finish() {
  state_->writer->finish();
  write_file(state_->directory / "config.json", state_->config.dump(2) + "\n");
  const auto quantization = state_->config.find("quantization_config");
  if (quantization != state_->config.end() && !state_->format->twin_file.empty())
    write_file(state_->directory / state_->format->twin_file, quantization->dump(2) + "\n");
}

}  // namespace attar
