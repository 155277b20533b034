#include "lora/merge.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/architecture/storage.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/training/estimate.h"
#include "lora/options.h"

namespace attar::lora {
namespace {

std::vector<std::byte> rounded(const WeightSource& source, const std::string& name, DType dtype) {
  const std::vector<float> values = source.floats(name);
  require_finite(name, values);
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  from_float32(values, dtype, bytes);
  return bytes;
}

fs::path adapter_directory(const StageContext& context, const std::string& adapter) {
  if (is_path(adapter)) return context.recipe.file.parent_path() / adapter;
  return context.recipe.output / adapter / "adapter";
}

}  // namespace

Check write_merged(const Model& base, const fs::path& adapter, DType dtype,
                   const fs::path& directory) {
  const ModelSpec& spec = base.spec;
  const auto merged = with_adapter(base, adapter).weights;
  std::vector<TensorPlan> plans;
  for (const TensorSpec& tensor : tensors(spec))
    plans.push_back({tensor.name, tensor.shape, dtype, std::nullopt});
  nlohmann::ordered_json config = base.config;
  config.erase("quantization_config");  // what is written is dense
  fs::create_directories(directory);
  StoredWriter writer(spec, directory, std::move(config), plans, base.path);
  Progress progress("merge", static_cast<int64_t>(plans.size()), "tensors");
  int64_t done = 0;
  for (const TensorPlan& plan : plans) {
    check_interrupted();
    writer.write(plan.name, rounded(*merged, plan.name, dtype));
    progress.update(++done);
  }
  writer.finish();

  const Model written = open_model(directory);
  for (const TensorPlan& plan : plans) {
    const auto expected = rounded(*merged, plan.name, dtype);
    const auto got = std::get<DenseTensor>(written.weights->load(plan.name));
    if (!std::equal(expected.begin(), expected.end(), got.bytes.begin(), got.bytes.end()))
      return {"merged model read back", false, "tensor " + plan.name + " differs"};
  }
  return {"merged model read back", true,
          fmt::format("{} tensors equal to the byte", plans.size())};
}

void run_merge(StageContext& context) {
  const auto options = context.options<MergeOptions>();
  const Model base = open_model(context.input);
  const fs::path adapter = adapter_directory(context, options.adapter);
  const DType dtype = output_dtype(options.output_dtype, config_dtype(base.config));
  const LoraConfig config = read_adapter(adapter).config;
  context.report.facts["adapter"] = options.adapter;
  context.report.facts["rank"] = config.rank;
  context.report.facts["output_dtype"] = torch_dtype_name(dtype);
  context.report.checks.push_back(write_merged(base, adapter, dtype, context.output / "model"));
}

}  // namespace attar::lora
