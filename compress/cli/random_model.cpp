#include "compress/cli/random_model.h"

#include <cmath>

#include "compress/architecture/family.h"
#include "compress/architecture/storage.h"
#include "compress/base/random.h"
#include "compress/pipeline/calibration.h"

namespace attar::cli {
namespace {

/// Matrices keep the size of what they are applied to; norms are near one, the rest near zero.
std::vector<float> random_values(const TensorSpec& tensor, Random& random) {
  const int64_t count = element_count(tensor.shape);
  double scale = 0.1, shift = 0;
  if (tensor.role == TensorRole::norm) shift = 1;
  if (tensor.shape.size() > 1) scale = 1 / std::sqrt(static_cast<double>(tensor.shape.back()));
  std::vector<float> values;
  values.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(random.normal() * scale + shift));
  return values;
}

}  // namespace

ModelSpec write_random_model(const nlohmann::ordered_json& config, const fs::path& directory,
                             const fs::path& side_files, uint64_t seed) {
  const ModelSpec spec = read_model_spec(config, (directory / "config.json").string());
  const DType dtype = stored_dtype(config);
  std::vector<TensorPlan> plans;
  const auto all = tensors(spec);
  for (const TensorSpec& tensor : all) plans.push_back({tensor.name, tensor.shape, dtype, {}});
  StoredWriter writer(spec, directory, config, plans, side_files);
  Random random(seed);
  for (const TensorSpec& tensor : all)
    writer.write(tensor.name, std::span<const float>(random_values(tensor, random)));
  writer.finish();
  return spec;
}

}  // namespace attar::cli
