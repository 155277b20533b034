#include "lora/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/base/random.h"
#include "compress/model/torch_compat.h"
#include "compress/training/emit.h"
#include "compress/training/estimate.h"
#include "compress/training/setup.h"
#include "lora/merge.h"
#include "lora/options.h"
#include "lora/targets.h"

namespace attar {
namespace {

using lora::LoraOptions;

/// Where a reader of the adapter finds its base: the recipe's model, or a stage's relative to the
/// adapter, so that a run directory can be moved.
std::string base_model(const StageContext& context) {
  const std::string& from = context.spec.from;
  return from == "model" ? context.recipe.model : "../../" + from + "/model";
}

LoraConfig adapter_config(const LoraOptions& options, const std::string& base_model) {
  LoraConfig config;
  config.rank = options.rank;
  config.alpha = options.alpha;
  config.dropout = options.dropout;
  config.rslora = options.rslora;
  config.base_model = base_model;
  return config;
}

std::vector<float> values_of(const ParameterStore& store, const std::string& name) {
  const at::Tensor value = store.value(store.find(name));
  const float* data = value.data_ptr<float>();
  return {data, data + value.numel()};
}

/// The trained factors.
std::vector<LoraModule> modules_of(TrainableModel& model,
                                   const std::vector<const LinearSpec*>& targets,
                                   const LoraConfig& config) {
  std::vector<LoraModule> modules;
  for (const LinearSpec* linear : targets)
    modules.push_back({linear->module(), config.rank, linear->out, linear->in,
                       values_of(model.adapters(), linear->module() + ".lora_A.weight"),
                       values_of(model.adapters(), linear->module() + ".lora_B.weight"),
                       config.scale_of(linear->module())});
  return modules;
}

/// Writes the adapter in the published model's terms, reads it with the reader of its format and
/// compares.
Check write_and_compare(const fs::path& directory, const attar::Adapter& adapter) {
  fs::create_directories(directory);
  write_adapter(directory, adapter.config, adapter.modules);
  const attar::Adapter read = read_adapter(directory);
  bool same = read.modules.size() == adapter.modules.size();
  for (const LoraModule& written : adapter.modules)
    same = same && std::any_of(read.modules.begin(), read.modules.end(), [&](const auto& module) {
             return module.module == written.module && module.a == written.a &&
                    module.b == written.b && module.scale == written.scale;
           });
  return {"adapter read back", same, fmt::format("{} pairs of factors", adapter.modules.size())};
}

/// base + adapter against the folded weights, both in float32.
Check compare_merged(const Model& base, const std::vector<LoraModule>& modules,
                     const fs::path& adapter, const at::Tensor& ids) {
  std::vector<AdapterPlan> plans;
  for (const LoraModule& module : modules)
    plans.push_back({module.module, module.rank, static_cast<float>(module.scale)});
  at::Tensor attached;
  {
    TrainableModel model(base.spec, Precision::fp32, Weights::frozen);
    model.load(*base.weights);
    model.attach(plans, 0, 1);
    for (const LoraModule& module : modules)
      for (const auto& [suffix, values] :
           {std::pair{".lora_A.weight", &module.a}, {".lora_B.weight", &module.b}}) {
        ParameterStore& store = model.adapters();
        const at::Tensor value = store.value(store.find(module.module + suffix));
        std::copy(values->begin(), values->end(), value.data_ptr<float>());
      }
    model.refresh();
    attached = model.logits(ids);
  }
  TrainableModel folded(base.spec, Precision::fp32, Weights::frozen);
  folded.load(*with_adapter(base, adapter).weights);
  const auto difference = (folded.logits(ids) - attached).abs().max().item<double>();
  const auto size = attached.abs().max().item<double>();
  return {
      "merged equals adapter", difference <= 1e-4 * (1 + size),
      fmt::format("largest difference of a logit in float32: {:.2g} of {:.3g}", difference, size)};
}

void train_adapter(StageContext& context) {
  const auto options = context.options<LoraOptions>();
  const OpenedModel opened = open_for_training(context.input);
  const Model& base = opened.model;
  const auto targets = lora::select_targets(base.spec, options.targets);
  const LoraConfig config = adapter_config(options, base_model(context));
  const TrainingData data =
      load_training_data(context.recipe, options.training, opened.tokenizer.get(), base.spec,
                         training_window(options.training, base.spec.max_positions), context.seed);
  std::vector<AdapterPlan> plans;
  for (const LinearSpec* linear : targets)
    plans.push_back(
        {linear->module(), options.rank, static_cast<float>(config.scale_of(linear->module()))});

  const DType dtype = output_dtype(options.training.output_dtype, config_dtype(base.config));
  StageReport& report = context.report;
  std::vector<LoraModule> modules;
  {
    TrainableModel model(base.spec, precision(options.training),
                         options.base == "nf4" ? Weights::nf4 : Weights::frozen);
    model.load(*base.weights);
    model.attach(plans, options.dropout, Random(context.seed).next());
    const CrossEntropy loss;
    const TrainingRun run{.model = model,
                          .windows = data.train,
                          .validation = data.validation ? &*data.validation : nullptr,
                          .loss = loss,
                          .teacher = nullptr,
                          .options = options.training,
                          .seed = context.seed,
                          .threads = context.threads,
                          .scratch = context.scratch,
                          .label = context.spec.name};
    const TrainingResult result = train(run);
    report.facts.update(training_facts(run, result));
    report.curves = result.curves;
    if (result.resumed_from && result.resumed_threads != run.threads)
      report.fallbacks.push_back({"bytes may differ from an uninterrupted run", context.spec.name,
                                  fmt::format("resumed with {} threads, begun with {}", run.threads,
                                              result.resumed_threads)});
    modules = modules_of(model, targets, config);
  }
  report.facts["adapted_layers"] = targets.size();
  report.facts["base"] = options.base;
  const fs::path adapter = context.output / "adapter";
  report.checks.push_back(write_and_compare(adapter, stored_adapter(base.spec, {config, modules})));
  if (options.merge == "none") return;
  report.facts["output_dtype"] = torch_dtype_name(dtype);
  if (options.base == "nf4")
    report.facts["merged_into"] =
        "the input model's own weights (training saw them rounded to NF4)";
  report.checks.push_back(
      compare_merged(base, modules, adapter, probe_ids(data.train.ids, data.train.window, 1)));
  report.checks.push_back(lora::write_merged(base, adapter, dtype, context.output / "model"));
}

}  // namespace

void run_lora(StageContext& context) {
  prepare_torch(context.threads);
  with_torch_errors([&] { train_adapter(context); });
}

}  // namespace attar
