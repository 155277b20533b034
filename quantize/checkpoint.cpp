#include "quantize/checkpoint.h"

#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

const QuantModule& module_named(const std::vector<QuantModule>& modules, const std::string& name) {
  for (const QuantModule& module : modules)
    if (module.name == name) return module;
  throw failure("a checkpoint has a layer that the model lacks: " + name);
}

std::vector<uint8_t> raw(const TensorView& tensor) {
  const auto* from = reinterpret_cast<const uint8_t*>(tensor.bytes.data());
  return {from, from + tensor.bytes.size()};
}

}  // namespace

QuantizeCheckpoint::QuantizeCheckpoint(fs::path directory, const std::string& fingerprint)
    : directory_(std::move(directory)) {
  const fs::path mark = directory_ / "fingerprint";
  if (!fs::exists(mark) || read_text(mark) != fingerprint) {
    for (const auto& entry : fs::directory_iterator(directory_)) fs::remove_all(entry.path());
    write_file(mark, fingerprint);
  }
  while (fs::exists(file(finished_, "json"))) ++finished_;
}

fs::path QuantizeCheckpoint::file(int64_t part, const char* extension) const {
  return directory_ / fmt::format("part-{:05}.{}", part, extension);
}

void QuantizeCheckpoint::commit(const QuantizedModules& part) {
  std::vector<SafetensorsWriter::Declaration> tensors;
  for (const auto& [name, q] : part.matrices) {
    tensors.push_back({name + ".codes", DType::u8, {q.rows, q.cols}});
    tensors.push_back({name + ".scales", DType::f32, {q.rows, q.groups()}});
    if (!q.zeros.empty()) tensors.push_back({name + ".zeros", DType::u8, {q.rows, q.groups()}});
  }
  for (const auto& [name, matrix] : part.blocks)
    tensors.push_back(
        {name + ".blocks", DType::u8, {matrix.rows, matrix.type->row_bytes(matrix.cols)}});
  for (const auto& [name, tensor] : part.dense)
    tensors.push_back({name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(file(finished_, "safetensors"), std::move(tensors));
  for (const auto& [name, tensor] : part.dense) writer.write(name, tensor.bytes);
  for (const auto& [name, q] : part.matrices) {
    writer.write(name + ".codes", std::as_bytes(std::span(q.codes)));
    writer.write(name + ".scales", std::as_bytes(std::span(q.scales)));
    if (!q.zeros.empty()) writer.write(name + ".zeros", std::as_bytes(std::span(q.zeros)));
  }
  for (const auto& [name, matrix] : part.blocks) writer.write(name + ".blocks", matrix.bytes);
  writer.finish();
  Json json = {{"rows", part.rows},
               {"fallbacks", Json::array()},
               {"foldings", part.foldings},
               {"dense", Json::array()}};
  for (const auto& [name, tensor] : part.dense) json["dense"].push_back(name);
  for (const Fallback& fallback : part.fallbacks)
    json["fallbacks"].push_back({fallback.what, fallback.where, fallback.why});
  write_file(file(finished_, "json"), json.dump());  // last: this is what counts
  ++finished_;
}

QuantizedModules QuantizeCheckpoint::load(int64_t part,
                                          const std::vector<QuantModule>& modules) const {
  QuantizedModules result;
  const Json json = Json::parse(read_text(file(part, "json")));
  result.rows = json.at("rows");
  for (const Json& fallback : json.at("fallbacks"))
    result.fallbacks.push_back({fallback.at(0), fallback.at(1), fallback.at(2)});
  result.foldings = json.at("foldings");
  const Safetensors tensors = Safetensors::open(file(part, "safetensors"));
  for (const Json& name : json.at("dense")) {
    const TensorView& tensor = tensors.at(name.get<std::string>());
    result.dense[tensor.name] = {tensor.dtype, tensor.shape, tensor.bytes, tensors.owner()};
  }
  for (const Json& row : result.rows) {
    const std::string name = row.at("module");
    const QuantModule& module = module_named(modules, name);
    if (module.block_type != nullptr) {
      const auto bytes = tensors.at(name + ".blocks").bytes;
      result.blocks.emplace(name, BlockMatrix{module.block_type,
                                              module.linear.out,
                                              module.linear.in,
                                              {bytes.begin(), bytes.end()}});
      continue;
    }
    QuantizedMatrix q;
    q.layout = module.layout;
    const TensorView& codes = tensors.at(name + ".codes");
    q.rows = codes.shape.at(0);
    q.cols = codes.shape.at(1);
    q.codes = raw(codes);
    q.scales = tensors.at(name + ".scales").floats();
    if (const TensorView* zeros = tensors.find(name + ".zeros")) q.zeros = raw(*zeros);
    result.matrices.emplace(name, std::move(q));
  }
  return result;
}

void QuantizeCheckpoint::save(const SavedActivations& activations) {
  const auto count = [](const std::vector<float>& v) { return static_cast<int64_t>(v.size()); };
  std::vector<SafetensorsWriter::Declaration> tensors = {
      {"hidden", DType::f32, {count(activations.hidden)}}};
  if (!activations.exact.empty())
    tensors.push_back({"exact", DType::f32, {count(activations.exact)}});
  SafetensorsWriter writer(directory_ / "activations.safetensors", std::move(tensors),
                           {{"block", std::to_string(activations.block)}});
  writer.write_floats("hidden", activations.hidden);
  if (!activations.exact.empty()) writer.write_floats("exact", activations.exact);
  writer.finish();
}

std::optional<SavedActivations> QuantizeCheckpoint::saved() const {
  const fs::path path = directory_ / "activations.safetensors";
  if (!fs::exists(path)) return std::nullopt;
  const Safetensors tensors = Safetensors::open(path);
  SavedActivations activations;
  activations.block = std::stoll(tensors.metadata().at("block"));
  activations.hidden = tensors.at("hidden").floats();
  if (const TensorView* exact = tensors.find("exact")) activations.exact = exact->floats();
  return activations;
}

}  // namespace attar
