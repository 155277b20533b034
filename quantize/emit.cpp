#include "quantize/emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/mapped_pages.h"
#include "compress/base/threads.h"
#include "compress/runtime/hidden_stream.h"
#include "quantize/divergence.h"
#include "quantize/foldings.h"
#include "quantize/schemes.h"

namespace attar {
namespace {

DenseTensor dense_of(const WeightSource& weights, const std::string& name) {
  Weight weight = weights.load(name);
  auto* dense = std::get_if<DenseTensor>(&weight);
  if (dense == nullptr)
    throw bad_input("this tensor is quantized already", "tensor " + name,
                    "quantize the float model it came from");
  return *dense;
}

/// The tensor's bytes in the planned float type.
std::vector<std::byte> converted(const DenseTensor& dense, const TensorPlan& plan) {
  const std::vector<float> values = dense.floats();
  std::vector<std::byte> bytes(values.size() * dtype_size(plan.dtype));
  from_float32(values, plan.dtype, bytes);
  std::vector<float> back(values.size());
  to_float32(bytes, plan.dtype, back);
  for (size_t i = 0; i < back.size(); ++i)
    if (!std::isfinite(back[i]))
      throw failure(fmt::format("{} does not fit {}", values[i], torch_dtype_name(plan.dtype)),
                    fmt::format("tensor {}, element {}", plan.name, i),
                    "choose dense_dtype: bfloat16 or keep");
  return bytes;
}

template <class F>
void for_parts(const QuantizeCheckpoint& checkpoint, const std::vector<QuantModule>& modules, F f) {
  std::map<std::string_view, const QuantModule*> by_name;
  for (const QuantModule& module : modules) by_name.emplace(module.name, &module);
  for (int64_t part = 0; part < checkpoint.finished(); ++part) {
    for (const auto& [name, q] : checkpoint.load(part, modules).matrices)
      f(by_name.at(name)->linear.weight, q);
    release_mapped_pages();
  }
}

/// Tensors that were rescaled, and everything else from the model.
OverlayWeights with_rescaled(const WeightSource& weights, const QuantizeCheckpoint& checkpoint,
                             const std::vector<QuantModule>& modules) {
  OverlayWeights overlay(weights);
  for (int64_t part = 0; part < checkpoint.finished(); ++part)
    for (const auto& [name, tensor] : checkpoint.load(part, modules).dense)
      overlay.put(name, tensor);
  return overlay;
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

/// Last hidden states of a model on some windows, a block at a time.
HiddenStream last_hidden(const ModelSpec& spec, const WeightSource& weights,
                         std::span<const int32_t> ids, int64_t window) {
  HiddenStream stream(spec, weights, ids, window);
  for (size_t block = 0; block < spec.blocks.size(); ++block) {
    stream.pass(Block(spec, static_cast<int64_t>(block), weights), static_cast<int64_t>(block));
    release_mapped_pages();
  }
  return stream;
}

Divergence divergence_of(const Model& model, const Model& other, std::span<const int32_t> ids,
                         int64_t window) {
  const HiddenStream before = last_hidden(model.spec, *model.weights, ids, window);
  const HiddenStream after = last_hidden(other.spec, *other.weights, ids, window);
  const OutputHead reference(model.spec, *model.weights), candidate(other.spec, *other.weights);
  return compare_predictions(reference, before, candidate, after, ids, model.spec.vocab);
}

}  // namespace

const QuantFormat& file_layout(const QuantizeOptions& options, const std::string& where) {
  return is_gguf_scheme(options.scheme) ? quant_formats().front()
                                        : find_quant_format(options.format, where);
}

DType scale_dtype(const QuantizeOptions& options, const QuantFormat& format,
                  const std::function<DType()>& own) {
  if (options.scale_dtype != "auto") return *dtype_from_torch_name(options.scale_dtype);
  if (format.scale_dtype) return *format.scale_dtype;
  return own() == DType::bf16 ? DType::bf16 : DType::f16;
}

std::vector<TensorPlan> plan_tensors(const ModelSpec& spec, const QuantPlan& plan,
                                     const std::optional<DType>& dense,
                                     const std::function<DType(const std::string&)>& dtype_of) {
  std::map<std::string_view, const QuantModule*> by_weight;
  for (const QuantModule& module : plan.modules) by_weight.emplace(module.linear.weight, &module);
  std::vector<TensorPlan> result;
  for (const TensorSpec& tensor : tensors(spec)) {
    TensorPlan row{tensor.name, tensor.shape, dense ? *dense : dtype_of(tensor.name), {}};
    const auto module = by_weight.find(tensor.name);
    if (module != by_weight.end()) row.layout = module->second->layout;
    result.push_back(std::move(row));
  }
  return result;
}

void write_quantized(const Model& model, const std::vector<TensorPlan>& tensors,
                     const std::vector<QuantModule>& modules, const QuantizeCheckpoint& checkpoint,
                     const QuantFormat& format, const std::filesystem::path& directory) {
  StoredWriter writer(model.spec, directory, model.config, tensors, model.path, format);
  const OverlayWeights source = with_rescaled(*model.weights, checkpoint, modules);
  for (const TensorPlan& plan : tensors) {
    if (plan.layout) continue;
    const DenseTensor dense = dense_of(source, plan.name);
    if (dense.dtype == plan.dtype)
      writer.write(plan.name, dense.bytes);
    else
      writer.write(plan.name, std::span<const std::byte>(converted(dense, plan)));
  }
  for_parts(checkpoint, modules,
            [&](const std::string& tensor, const QuantizedMatrix& q) { writer.write(tensor, q); });
  writer.finish();
}

Check check_emitted(const Model& model, const std::vector<TensorPlan>& tensors,
                    const std::vector<QuantModule>& modules, const QuantizeCheckpoint& checkpoint,
                    const std::filesystem::path& directory) {
  const Model written = open_model(directory);
  const OverlayWeights expected = with_rescaled(*model.weights, checkpoint, modules);
  std::vector<std::string> wrong;
  int64_t quantized = 0, dense = 0;
  for_parts(checkpoint, modules, [&](const std::string& tensor, const QuantizedMatrix& q) {
    ++quantized;
    const Weight weight = written.weights->load(tensor);
    const auto* back = std::get_if<QuantizedMatrix>(&weight);
    if (back == nullptr || dequantize(*back) != dequantize(q)) wrong.push_back(tensor);
  });
  for (const TensorPlan& plan : tensors) {
    if (plan.layout) continue;
    ++dense;
    const DenseTensor source = dense_of(expected, plan.name);
    const DenseTensor back = dense_of(*written.weights, plan.name);
    const bool same = source.dtype == plan.dtype ? equal(source.bytes, back.bytes)
                                                 : equal(converted(source, plan), back.bytes);
    if (!same || back.dtype != plan.dtype) wrong.push_back(plan.name);
  }
  return {"re-read from disk", wrong.empty(),
          wrong.empty()
              ? fmt::format("{} quantized and {} dense tensors are exactly what was computed",
                            quantized, dense)
              : fmt::format("differ: {}", fmt::join(wrong, ", "))};
}

Check check_same_function(const Model& model, const Model& other, std::span<const int32_t> ids,
                          int64_t window) {
  constexpr double kMost = 1e-4;  // what rounding tables to 16 bits may leave
  const double kl = divergence_of(model, other, ids, window).kl;
  return {"rotation", std::isfinite(kl) && kl <= kMost,
          fmt::format("KL {:.2e} nats to the model before it on {} ids (at most {})", kl,
                      ids.size(), kMost)};
}

Check probe_emitted(const Model& model, const std::filesystem::path& directory,
                    std::span<const int32_t> ids, int64_t window, double max_kl) {
  const Divergence mean = divergence_of(model, open_model(directory), ids, window);
  const double kl = mean.kl, ratio = std::exp(mean.reference - mean.candidate);
  return {"probe", std::isfinite(kl) && std::isfinite(ratio) && kl <= max_kl,
          fmt::format("KL {:.5f} nats, perplexity ratio {:.4f} on {} calibration windows of {} ids "
                      "(KL may be at most {})",
                      kl, ratio, std::ssize(ids) / window, window, max_kl)};
}

}  // namespace attar
