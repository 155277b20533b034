#include "export/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/process.h"
#include "compress/formats/quant_format.h"
#include "export/probe.h"

namespace attar {
namespace {

constexpr std::string_view kGguf = "gguf:", kDense = "hf";

std::vector<TensorPlan> plan_tensors(const Model& model, const ExportOptions& options) {
  std::vector<TensorPlan> plans;
  const bool dense = options.format == kDense;
  for (const TensorSpec& tensor : tensors(model.spec)) {
    const Weight weight = model.weights->load(tensor.name);
    TensorPlan plan{tensor.name, tensor.shape, DType::f32, {}};
    if (const auto* q = std::get_if<QuantizedMatrix>(&weight)) {
      if (!dense) plan.layout = q->layout;
    } else {
      plan.dtype = std::get<DenseTensor>(weight).dtype;
    }
    if (options.dtype != "keep") plan.dtype = *dtype_from_torch_name(options.dtype);
    if (plan.dtype == DType::f64) plan.dtype = DType::f32;
    plans.push_back(std::move(plan));
  }
  return plans;
}

/// The layouts' own rules, asked before anything is written.
void check_layouts(const Model& model, const QuantFormat& format, std::vector<TensorPlan>& plans) {
  std::vector<std::string> objections;
  int64_t quantized = 0;
  for (TensorPlan& plan : plans) {
    if (!plan.layout) continue;
    ++quantized;
    if (format.scale_dtype) plan.layout->scale_dtype = *format.scale_dtype;
    const std::string objection = format.objection(plan.shape[0], plan.shape[1], *plan.layout);
    if (!objection.empty()) objections.push_back(fmt::format("{}: {}", plan.name, objection));
  }
  if (quantized == 0)
    throw bad_input(
        "the model's weights are not quantized; a layout of codes says nothing of them",
        model.path.string(),
        "quantize it first: a recipe with a stage of type quantize, `attar run RECIPE`");
  if (!objections.empty())
    throw bad_input(fmt::format("the layout {} cannot hold these layers: {}", format.name,
                                fmt::join(objections, "; ")),
                    model.path.string());
}

/// Floats in the planned type; failure when one does not fit.
std::vector<std::byte> rounded(const WeightSource& weights, const TensorPlan& plan) {
  const std::vector<float> values = weights.floats(plan.name);
  require_finite(plan.name, values);
  std::vector<std::byte> bytes(values.size() * dtype_size(plan.dtype));
  from_float32(values, plan.dtype, bytes);
  std::vector<float> back(values.size());
  to_float32(bytes, plan.dtype, back);
  for (size_t i = 0; i < back.size(); ++i)
    if (!std::isfinite(back[i]))
      throw failure(fmt::format("{} does not fit {}", values[i], torch_dtype_name(plan.dtype)),
                    fmt::format("tensor {}, element {}", plan.name, i),
                    "choose dtype bfloat16 or float32");
  return bytes;
}

Check compare(const Model& model, const std::vector<TensorPlan>& plans, const fs::path& directory) {
  const Model written = open_model(directory);
  std::vector<std::string> wrong;
  for (const TensorPlan& plan : plans) {
    check_interrupted();
    const auto back = written.weights->floats(plan.name);
    std::vector<float> expected = model.weights->floats(plan.name);
    if (!plan.layout) {
      const auto bytes = rounded(*model.weights, plan);
      to_float32(bytes, plan.dtype, expected);
    }
    if (back != expected) wrong.push_back(plan.name);
  }
  return {"re-read from disk", wrong.empty(),
          wrong.empty() ? fmt::format("{} tensors are exactly those of the model", plans.size())
                        : fmt::format("differ: {}", fmt::join(wrong, ", "))};
}

void write_directory(const Model& model, const ExportOptions& options, const fs::path& directory,
                     StageReport& report) {
  auto plans = plan_tensors(model, options);
  nlohmann::ordered_json config = model.config;
  config.erase("quantization_config");
  const bool dense = options.format == kDense;
  const QuantFormat& format =
      dense ? quant_formats().front() : find_quant_format(options.format, "format");
  if (!dense) check_layouts(model, format, plans);
  StoredWriter writer(model.spec, directory, std::move(config), plans, model.path, format);
  for (const TensorPlan& plan : plans) {
    check_interrupted();
    if (plan.layout) {
      auto q = std::get<QuantizedMatrix>(model.weights->load(plan.name));
      q.layout = *plan.layout;
      writer.write(plan.name, q);
    } else {
      writer.write(plan.name, std::span<const std::byte>(rounded(*model.weights, plan)));
    }
  }
  writer.finish();
  report.checks.push_back(compare(model, plans, directory));
}

}  // namespace

std::vector<ExportFormat> export_formats() {
  std::vector<ExportFormat> formats = {
      {std::string(kDense), "Hugging Face directory with dense weights"}};
  for (const QuantFormat& row : quant_formats())
    formats.push_back({std::string(row.name), std::string(row.summary)});
  for (const auto& row : gguf_export::mixtures())
    formats.push_back({fmt::format("{}{}", kGguf, row.name), fmt::format("GGUF, {}", row.summary)});
  return formats;
}

bool writes_one_file(const std::string& format, const std::string& where) {
  if (format.starts_with(kGguf) &&
      gguf_export::find_mixture(std::string_view(format).substr(kGguf.size())) != nullptr)
    return true;
  std::vector<std::string> names;
  for (const ExportFormat& row : export_formats()) {
    if (row.name == format) return false;
    names.push_back(row.name);
  }
  const std::string close = nearest(format, names);
  throw bad_input(
      fmt::format("format '{}' is not offered", format), where,
      fmt::format("{}offered: {}", close.empty() ? "" : fmt::format("did you mean '{}'? ", close),
                  fmt::join(names, ", ")));
}

void export_model(const Model& model, const ExportOptions& options,
                  const gguf_export::Importance& importance, const fs::path& path,
                  StageReport& report) {
  report.facts["format"] = options.format;
  if (writes_one_file(options.format, "format")) {
    if (options.dtype != "keep")
      throw bad_input("dtype is for Hugging Face directories; a GGUF format names its own",
                      "dtype");
    const auto& mixture =
        *gguf_export::find_mixture(std::string_view(options.format).substr(kGguf.size()));
    gguf_export::write(model, mixture, importance, path, report);
  } else {
    write_directory(model, options, path, report);
  }
  report.checks.push_back(probe_exported(model, path, options.max_kl));
}

}  // namespace attar
