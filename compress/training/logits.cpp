#include "compress/training/logits.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/formats/safetensors.h"
#include "compress/model/trainable_model.h"
#include "compress/training/loop.h"

namespace attar {
namespace {

/// int64 [batch, positions] with values in [0, limit).
at::Tensor read_integers(const Safetensors& file, const char* name, int64_t limit,
                         const char* what) {
  const TensorView& view = file.at(name);
  const std::string where = fmt::format("{}: tensor {}", file.path().string(), name);
  if (view.shape.size() != 2 || view.count() == 0)
    throw bad_input(fmt::format("{} must be [batch, positions] and not empty", name), where);
  const std::vector<int64_t> values = view.integers();
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] < 0 || values[i] >= limit)
      throw bad_input(fmt::format("{} is outside {} of {}", values[i], what, limit),
                      fmt::format("{}, element {}", where, i));
  return at::tensor(values, at::kLong).view(view.shape);
}

/// How many positions of each row come before its padding, [batch].
at::Tensor read_lengths(const Safetensors& file, const at::Tensor& ids) {
  const at::Tensor mask = read_integers(file, "attention_mask", 2, "the values of a mask");
  const std::string where = file.path().string() + ": tensor attention_mask";
  if (mask.sizes() != ids.sizes())
    throw bad_input("attention_mask has another shape than input_ids", where);
  const at::Tensor lengths = mask.sum(1);
  for (int64_t row = 0; row < mask.size(0); ++row) {
    const auto length = lengths[row].item<int64_t>();
    if (length == 0 || mask[row].narrow(0, 0, length).sum().item<int64_t>() != length)
      throw bad_input(fmt::format("attention_mask row {} is not ones followed by zeros", row),
                      where, "pad on the right");
  }
  return lengths;
}

ModelInput read_input(const Safetensors& file, const ModelSpec& spec) {
  ModelInput input = read_integers(file, "input_ids", spec.vocab, "the vocabulary");
  if (file.find("attention_mask")) input.lengths = read_lengths(file, input.ids);
  if (!file.find("token_type_ids")) return input;
  const std::string where = file.path().string() + ": tensor token_type_ids";
  if (spec.task == Task::causal_lm)
    throw bad_input("token_type_ids are for encoders", where,
                    fmt::format("{} reads no token types", spec.architecture));
  input.token_types = read_integers(file, "token_type_ids", std::max<int64_t>(1, spec.type_vocab),
                                    "the token types");
  if (input.token_types.sizes() != input.ids.sizes())
    throw bad_input("token_type_ids has another shape than input_ids", where);
  return input;
}

}  // namespace

void torch_logits(const std::filesystem::path& model, const std::filesystem::path& adapter,
                  const std::filesystem::path& input, const std::filesystem::path& output) {
  prepare_torch(thread_count());
  Model opened = open_model(model);
  if (!adapter.empty()) opened = with_adapter(std::move(opened), adapter);
  const ModelInput in = read_input(Safetensors::open(input), opened.spec);
  TrainableModel trainable(opened.spec, Precision::fp32, Weights::frozen);
  trainable.load(*opened.weights);
  const at::Tensor logits = trainable.logits(in).contiguous();
  if (opened.spec.task == Task::causal_lm && in.lengths.defined())
    for (int64_t row = 0; row < logits.size(0); ++row) {
      const auto length = in.lengths[row].item<int64_t>();
      logits[row].narrow(0, length, logits.size(1) - length).zero_();
    }
  const char* name = opened.spec.task == Task::embed ? "embedding" : "logits";
  SafetensorsWriter writer(output, {{name, DType::f32, logits.sizes().vec()}});
  writer.write_floats(name, {logits.data_ptr<float>(), static_cast<size_t>(logits.numel())});
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
