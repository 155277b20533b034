#include "lora/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/base/random.h"
#include "compress/model/torch_compat.h"
#include "compress/training/estimate.h"
#include "compress/training/language.h"
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

LoraConfig adapter_config(const LoraOptions& options, const std::string& base_model, Task task) {
  LoraConfig config;
  if (task == Task::classify) {
    config.task_type = "SEQ_CLS";
    config.saved = {"classifier"};
  } else if (task == Task::embed) {
    config.task_type = "FEATURE_EXTRACTION";
  }
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

/// The linears of a classifier's head that are trained whole. BERT's pooler belongs to the encoder
/// and is left as it is.
std::vector<const LinearSpec*> head_of(const ModelSpec& spec, const LoraConfig& config) {
  std::vector<const LinearSpec*> head;
  for (const LinearSpec* linear : {&spec.pooler, &spec.classifier})
    if (config.saves_tensor(linear->weight)) head.push_back(linear);
  return head;
}

/// What was trained whole.
std::vector<SavedTensor> saved_of(TrainableModel& model,
                                  const std::vector<const LinearSpec*>& head) {
  std::vector<SavedTensor> saved;
  for (const LinearSpec* linear : head) {
    saved.push_back(
        {linear->weight, {linear->out, linear->in}, values_of(model.adapters(), linear->weight)});
    saved.push_back({linear->bias, {linear->out}, values_of(model.adapters(), linear->bias)});
  }
  return saved;
}

/// What is learned from: windows of ids, or labelled texts.
struct Data {
  TrainingData windows;
  TextData texts;
};

Data load_data(StageContext& context, const LoraOptions& options, const OpenedModel& opened) {
  const ModelSpec& spec = opened.model.spec;
  Data data;
  if (spec.task == Task::causal_lm) {
    data.windows =
        load_training_data(context.recipe, options.training, opened.tokenizer.get(), spec,
                           training_window(options.training, spec.max_positions), context.seed);
    return data;
  }
  require_single_label(spec);
  data.texts = load_text_data(context.recipe, options.training, opened, use_without_teacher(spec),
                              context.seed);
  note_cut_texts(options.training.data, data.texts.dropped_tokens, data.texts.window,
                 context.report);
  return data;
}

std::unique_ptr<Objective> objective_of(TrainableModel& model, const Data& data,
                                        const RowLoss& loss, int64_t batch) {
  if (model.spec().task != Task::causal_lm)
    return objective_without_teacher(model, data.texts, loss, batch);
  const auto& validation = data.windows.validation;
  return std::make_unique<LanguageObjective>(model, data.windows.train,
                                             validation ? &*validation : nullptr, loss, nullptr);
}

/// Writes the adapter in the published model's terms, reads it with the reader of its format and
/// compares.
Check write_and_compare(const fs::path& directory, const attar::Adapter& adapter) {
  fs::create_directories(directory);
  write_adapter(directory, adapter);
  const attar::Adapter read = read_adapter(directory);
  bool same = read.modules.size() == adapter.modules.size();
  for (const LoraModule& written : adapter.modules)
    same = same && std::any_of(read.modules.begin(), read.modules.end(), [&](const auto& module) {
             return module.module == written.module && module.a == written.a &&
                    module.b == written.b && module.scale == written.scale;
           });
  same = same && read.saved.size() == adapter.saved.size();
  for (size_t i = 0; same && i < read.saved.size(); ++i)
    same = std::any_of(adapter.saved.begin(), adapter.saved.end(), [&](const SavedTensor& tensor) {
      return tensor.name == read.saved[i].name && tensor.values == read.saved[i].values;
    });
  return {"adapter read back", same,
          fmt::format("{} pairs of factors, {} tensors trained whole", adapter.modules.size(),
                      adapter.saved.size())};
}

/// base + adapter against the folded weights, both in float32.
Check compare_merged(const Model& base, const attar::Adapter& trained, const fs::path& adapter,
                     const ModelInput& ids) {
  std::vector<AdapterPlan> plans;
  for (const LoraModule& module : trained.modules)
    plans.push_back({module.module, module.rank, static_cast<float>(module.scale)});
  at::Tensor attached;
  {
    TrainableModel model(base.spec, Precision::fp32, Weights::frozen);
    model.load(*base.weights);
    model.attach(plans, 0, 1, head_of(base.spec, trained.config));
    ParameterStore& store = model.adapters();
    const auto put = [&](const std::string& name, const std::vector<float>& values) {
      std::copy(values.begin(), values.end(), store.value(store.find(name)).data_ptr<float>());
    };
    for (const LoraModule& module : trained.modules) {
      put(module.module + ".lora_A.weight", module.a);
      put(module.module + ".lora_B.weight", module.b);
    }
    for (const SavedTensor& tensor : trained.saved) put(tensor.name, tensor.values);
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
  attar::Adapter trained{adapter_config(options, base_model(context), base.spec.task), {}, {}};
  const LoraConfig& config = trained.config;
  const auto head = head_of(base.spec, config);
  const Data data = load_data(context, options, opened);
  std::vector<AdapterPlan> plans;
  for (const LinearSpec* linear : targets)
    plans.push_back(
        {linear->module(), options.rank, static_cast<float>(config.scale_of(linear->module()))});

  const DType dtype = output_dtype(options.training.output_dtype, config_dtype(base.config));
  StageReport& report = context.report;
  ModelInput probe{at::Tensor()};
  {
    TrainableModel model(base.spec, precision(options.training),
                         options.base == "nf4" ? Weights::nf4 : Weights::frozen);
    model.load(*base.weights);
    model.attach(plans, options.dropout, Random(context.seed).next(), head);
    const CrossEntropy loss;
    const auto objective = objective_of(model, data, loss, options.training.batch);
    const TrainingRun run{.model = model,
                          .objective = *objective,
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
    trained.modules = modules_of(model, targets, config);
    trained.saved = saved_of(model, head);
    probe = objective->probe();
  }
  report.facts["adapted_layers"] = targets.size();
  report.facts["base"] = options.base;
  const fs::path adapter = context.output / "adapter";
  report.checks.push_back(write_and_compare(adapter, stored_adapter(base.spec, trained)));
  if (options.merge == "none") return;
  report.facts["output_dtype"] = torch_dtype_name(dtype);
  if (options.base == "nf4")
    report.facts["merged_into"] =
        "the input model's own weights (training saw them rounded to NF4)";
  report.checks.push_back(compare_merged(base, trained, adapter, probe));
  report.checks.push_back(lora::write_merged(base, adapter, dtype, context.output / "model"));
}

}  // namespace

void run_lora(StageContext& context) {
  prepare_torch(context.threads);
  with_torch_errors([&] { train_adapter(context); });
}

}  // namespace attar
