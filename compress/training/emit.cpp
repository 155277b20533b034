#include "compress/training/emit.h"

#include <fmt/format.h>

#include "compress/architecture/model.h"
#include "compress/architecture/storage.h"
#include "compress/base/files.h"

namespace attar {
namespace {

void round_weights(ParameterStore& store, DType dtype) {
  if (dtype == DType::f32) return;
  const std::span<float> values(store.flat().data_ptr<float>(), static_cast<size_t>(store.total()));
  std::vector<std::byte> rounded(values.size() * dtype_size(dtype));
  from_float32(values, dtype, rounded);
  to_float32(rounded, dtype, values);
}

}  // namespace

ReadBack emit(TrainableModel& model, nlohmann::ordered_json config, DType dtype,
              const std::filesystem::path& directory, const std::filesystem::path& side_files_from,
              const ModelInput& input) {
  round_weights(model.parameters(), dtype);
  model.refresh();
  const at::Tensor expected = model.logits(input);
  fs::create_directories(directory);
  config.erase("quantization_config");  // what is written is dense
  StoredWriter writer(model.spec(), directory, std::move(config), model.plan(dtype),
                      side_files_from);
  model.save(writer);
  writer.finish();

  const Model written = open_model(directory);
  TrainableModel again(written.spec,
                       model.dtype() == at::kFloat ? Precision::fp32 : Precision::bf16,
                       Weights::frozen);
  again.load(*written.weights);
  const auto difference = (again.logits(input) - expected).abs().max().item<double>();
  return {difference == 0.0,
          fmt::format("outputs for {} ids after reading the model back: largest difference {:g}",
                      input.ids.numel(), difference)};
}

}  // namespace attar
