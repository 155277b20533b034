#include "compress/training/checkpoint.h"

#include <cstring>

#include "compress/base/error.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

void restore(const Safetensors& file, const char* name, const at::Tensor& to) {
  const TensorView& view = file.at(name);
  if (view.dtype != DType::f32 || view.count() != to.numel())
    throw bad_input("the checkpoint is of another model", file.path().string(),
                    "remove it, or run with --fresh");
  std::memcpy(to.data_ptr(), view.bytes.data(), view.bytes.size());
}

}  // namespace

void save_checkpoint(const std::filesystem::path& file, const ParameterStore& store,
                     const AdamW& optimizer, const TrainingState& state) {
  const std::vector<int64_t> shape = {store.total()};
  const nlohmann::ordered_json json = {
      {"step", state.step}, {"threads", state.threads}, {"progress", state.progress}};
  SafetensorsWriter writer(file,
                           {{"parameters", DType::f32, shape},
                            {"first_moment", DType::f32, shape},
                            {"second_moment", DType::f32, shape}},
                           {{"state", json.dump()}});
  writer.write("parameters", bytes_of(store.flat()));
  writer.write("first_moment", bytes_of(optimizer.first_moment()));
  writer.write("second_moment", bytes_of(optimizer.second_moment()));
  writer.finish();
}

std::optional<TrainingState> load_checkpoint(const std::filesystem::path& file,
                                             ParameterStore& store, AdamW& optimizer) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  const Safetensors checkpoint = Safetensors::open(file);
  restore(checkpoint, "parameters", store.flat());
  restore(checkpoint, "first_moment", optimizer.first_moment());
  restore(checkpoint, "second_moment", optimizer.second_moment());
  const auto found = checkpoint.metadata().find("state");
  const auto json = found == checkpoint.metadata().end()
                        ? nlohmann::ordered_json()
                        : nlohmann::ordered_json::parse(found->second, nullptr, false);
  if (!json.is_object() || !json.contains("step") || !json.contains("progress"))
    throw bad_input("the checkpoint is damaged", file.string(), "remove it, or run with --fresh");
  TrainingState state;
  state.step = json["step"].get<int64_t>();
  state.threads = json.value("threads", 0);
  state.progress = json["progress"];
  optimizer.resume(state.step);
  return state;
}

}  // namespace attar
