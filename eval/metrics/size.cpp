// Bytes of the weight files and honest bits per weight: every tensor, with scales and zeros.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

double bits(uint64_t bytes, int64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const ModelSize& size = input.size;
  EvaluationRow bytes;
  bytes.model = input.model;
  bytes.metric = "model_bytes";
  bytes.value = static_cast<double>(size.file_bytes);
  bytes.unit = "bytes";
  bytes.n = size.parameters;
  bytes.details = {{"counts", "the weight files"}, {"directory_bytes", size.directory_bytes}};
  rows.push_back(bytes);

  EvaluationRow weight = bytes;
  weight.metric = "bits_per_weight";
  weight.value = bits(size.stored_bytes, size.parameters);
  weight.unit = "bits";
  weight.details = {{"counts", "every tensor with its scales and zeros; a tied head once"},
                    {"tensor_bytes", size.stored_bytes}};
  if (size.quantized_parameters > 0)
    weight.details["quantized_tensors_only"] =
        bits(size.quantized_bytes, size.quantized_parameters);
  rows.push_back(std::move(weight));
}

}  // namespace

Metric size_metric() {
  return {"size",       "bytes of the weight files, bits per weight with everything counted",
          "bytes",      false,
          Needs::files, {"model_bytes", "bits_per_weight"},
          measure};
}

}  // namespace attar::eval
