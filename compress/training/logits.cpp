#include "compress/training/logits.h"

#include <fmt/format.h>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/formats/safetensors.h"
#include "compress/model/trainable_model.h"
#include "compress/training/loop.h"

namespace attar {
namespace {

at::Tensor read_ids(const Safetensors& file, int64_t vocab) {
  const TensorView& view = file.at("input_ids");
  const std::string where = file.path().string() + ": tensor input_ids";
  if (view.shape.size() != 2 || view.count() == 0)
    throw bad_input("input_ids must be [batch, positions] and not empty", where);
  const std::vector<int64_t> ids = view.integers();
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= vocab)
      throw bad_input(fmt::format("id {} is outside the vocabulary of {}", ids[i], vocab),
                      fmt::format("{}, element {}", where, i));
  if (const TensorView* mask = file.find("attention_mask"))
    for (const int64_t bit : mask->integers())
      if (bit != 1)
        throw bad_input("padding is for encoders; a causal model takes whole rows",
                        file.path().string() + ": tensor attention_mask");
  return at::tensor(ids, at::kLong).view(view.shape);
}

}  // namespace

void torch_logits(const std::filesystem::path& model, const std::filesystem::path& adapter,
                  const std::filesystem::path& input, const std::filesystem::path& output) {
  prepare_torch(thread_count());
  Model opened = open_model(model);
  if (!adapter.empty()) opened = with_adapter(std::move(opened), adapter);
  const at::Tensor ids = read_ids(Safetensors::open(input), opened.spec.vocab);
  TrainableModel trainable(opened.spec, Precision::fp32, Weights::frozen);
  trainable.load(*opened.weights);
  const at::Tensor logits = trainable.logits(ids).contiguous();
  SafetensorsWriter writer(output, {{"logits", DType::f32, logits.sizes().vec()}});
  writer.write_floats("logits", {logits.data_ptr<float>(), static_cast<size_t>(logits.numel())});
  writer.finish();
}

std::string torch_description() {
  // "  - CPU capability usage: AVX512" is a line of LibTorch's own description.
  const std::string config = at::show_config();
  const std::string key = "CPU capability usage: ";
  const size_t at = config.find(key);
  const std::string capability =
      at == std::string::npos
          ? "unknown"
          : config.substr(at + key.size(), config.find('\n', at) - at - key.size());
  return fmt::format("LibTorch {}, {}, oneDNN {}", torch_compat::version(), capability,
                     at::globalContext().hasMKLDNN() ? "yes" : "no");
}

}  // namespace attar
