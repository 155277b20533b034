#include "prune/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/architecture/model.h"
#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/progress.h"
#include "compress/pipeline/calibration.h"
#include "compress/pipeline/float_input.h"
#include "prune/estimate.h"
#include "prune/evidence.h"
#include "prune/least_squares.h"
#include "prune/masked_weights.h"
#include "prune/options.h"
#include "prune/plan.h"
#include "prune/selection.h"
#include "prune/slicing.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kCheckWindows = 2;

const Criterion& criterion_of(const PruneOptions& options, const std::string& where) {
  const bool width = options.method == "width";
  std::string name = options.criterion;
  if (name == "auto") name = width ? "activation" : "block_influence";
  const Criterion* row = find_criterion(name);
  std::vector<std::string> fitting;
  for (const Criterion& candidate : criteria())
    if ((width ? candidate.units != nullptr : candidate.layer != nullptr))
      fitting.emplace_back(candidate.name);
  if (row == nullptr)
    throw bad_input("unknown criterion '" + name + "'", where, suggest(name, fitting));
  if (width ? row->units == nullptr : row->layer == nullptr)
    throw bad_input(
        fmt::format("criterion '{}' does not rank what method: {} removes", name, options.method),
        where, fmt::format("for {}: {}", options.method, fmt::join(fitting, ", ")));
  return *row;
}

/// What can be said about `keep` without the model: shares are up to 1, counts are whole, each
/// belongs to its method.
void check_keep(const Node& node, const PruneOptions& options, Problems& problems) {
  const KeepOptions& keep = options.keep;
  const Node place = node["keep"];
  if (!keep.ffn && !keep.heads && !keep.layers)
    problems.add("keep says nothing", place.defined() ? place.where() : node.where(),
                 "for instance keep: {ffn: 0.5, heads: 0.75}");
  const auto one = [&](const char* name, const std::optional<double>& value, const char* method) {
    if (!value) return;
    if (*value > 1 && *value != std::floor(*value))
      problems.add(fmt::format("keep.{} is {}, neither a share up to 1 nor a count", name, *value),
                   place[name].where());
    if (options.method != method)
      problems.add(fmt::format("keep.{} has no meaning with method: {}", name, options.method),
                   place[name].where(), "chain two prune stages, one for width and one for depth");
  };
  one("ffn", keep.ffn, "width");
  one("heads", keep.heads, "width");
  one("layers", keep.layers, "depth");
}

nlohmann::ordered_json resolve(const Node& node, Problems& problems) {
  const auto options = parse_options<PruneOptions>(node, problems, kStageKeys);
  check_keep(node, options, problems);
  try {
    const Criterion& criterion = criterion_of(options, node["criterion"].where());
    if (criterion.needs_data && options.data.empty())
      problems.add(fmt::format("criterion '{}' needs calibration data", criterion.name),
                   node.where(), "add `data: calibration`, an entry of the recipe's data");
  } catch (const Error& error) {
    problems.add(error.what(), error.where(), error.hint());
  }
  if (options.compensate != "none" && options.data.empty())
    problems.add("compensate needs calibration data", node["compensate"].where());
  return dump_options(options);
}

void references(const Node& node, std::vector<std::string>& data, std::vector<std::string>&) {
  if (const auto name = node["data"].text()) data.push_back(*name);
}

/// One run of the stage.
class PruneRun {
 public:
  explicit PruneRun(StageContext& context)
      : context_(context),
        options_(context.options<PruneOptions>()),
        criterion_(criterion_of(options_, context.spec.where)),
        model_(open_float_input(context, "prune")),
        spec_(model_.spec),
        counts_(kept_counts(spec_, options_, context.spec.where)) {
    if (!options_.data.empty()) windows_ = calibration_windows(context, options_.data, spec_);
  }

  void run() {
    if (options_.method == "width")
      choose_units();
    else
      choose_layers();
    const Json config = pruned_config(model_.config, spec_, counts_, plan_.layers);
    ModelSpec pruned = read_model_spec(config, "the pruned config.json");
    fit_model_spec(pruned, *model_.stored);
    const auto sources = tensor_sources(spec_, pruned, plan_);
    const fs::path directory = context_.output / "model";
    fs::create_directories(directory);
    write(pruned, config, sources, directory);
    report_facts(pruned);
    check(sources, directory);
  }

 private:
  bool watches() const { return criterion_.needs_data || options_.compensate != "none"; }

  /// The groups that lose units.
  std::vector<DependencyGroup> shrinking_groups() const {
    std::vector<DependencyGroup> groups;
    for (DependencyGroup& group : dependency_groups(spec_))
      if (count_of(group) < group.units) groups.push_back(std::move(group));
    return groups;
  }

  int64_t count_of(const DependencyGroup& group) const {
    return group.kind == DependencyGroup::Kind::ffn_neurons ? counts_.ffn.at(group.units)
                                                            : counts_.kv_groups;
  }

  void choose_units() {
    plan_.layers.resize(spec_.blocks.size());
    std::iota(plan_.layers.begin(), plan_.layers.end(), 0);
    const auto groups = shrinking_groups();
    std::optional<HiddenStream> stream;
    if (watches() && !groups.empty())
      stream.emplace(calibration_stream(spec_, *model_.weights, windows_, windows_.count()));
    Progress progress("prune", static_cast<int64_t>(spec_.blocks.size()), "blocks");
    for (int64_t index = 0; index < static_cast<int64_t>(spec_.blocks.size()); ++index) {
      progress.update(index);
      BlockEvidence evidence;
      if (stream) {
        const Block block(spec_, index, *model_.weights);
        evidence =
            pass_watched(*stream, block, index, groups, spec_, options_.compensate != "none");
      }
      for (const DependencyGroup& group : groups)
        if (group.block == index) choose_from(group, evidence);
    }
    if (options_.keep.heads) note_recurrent_layers();
  }

  /// Heads of DeltaNet layers were not asked about.
  void note_recurrent_layers() {
    std::vector<size_t> layers;
    for (size_t i = 0; i < spec_.blocks.size(); ++i)
      if (spec_.blocks[i].delta_net) layers.push_back(i);
    if (!layers.empty())
      context_.report.fallbacks.push_back(
          {"heads not pruned", fmt::format("layers {}", fmt::join(layers, ", ")),
           "Gated DeltaNet layers keep their heads; keep.heads is for softmax attention"});
  }

  /// "layer 3 ffn", "layer 3 ffn of model.layers.3.mlp.experts.5"
  std::string label(const DependencyGroup& group) const {
    if (group.kind != DependencyGroup::Kind::ffn_neurons)
      return fmt::format("layer {} heads", group.block);
    const BlockSpec& block = spec_.blocks[static_cast<size_t>(group.block)];
    const std::string& down = group.columns.front().tensor;
    if (!block.moe) return fmt::format("layer {} ffn", group.block);
    const std::string module = down.substr(0, down.rfind(".weight"));
    return fmt::format("layer {} ffn of {}", group.block, module.substr(0, module.rfind('.')));
  }

  /// What decides about a group: calibration, or weights where no token came by (an expert).
  const Criterion& criterion_for(const DependencyGroup& group, const UnitStatistics* inputs) {
    if (!criterion_.needs_data || (inputs != nullptr && inputs->rows > 0)) return criterion_;
    context_.report.fallbacks.push_back({"ranked by magnitude of weights", label(group),
                                         "no token of the calibration data was routed there"});
    return *find_criterion("magnitude");
  }

  void choose_from(const DependencyGroup& group, const BlockEvidence& evidence) {
    const std::string& output = group.columns.front().tensor;
    const auto found = evidence.inputs.find(output);
    const UnitStatistics* inputs = found == evidence.inputs.end() ? nullptr : &found->second;
    const std::vector<double> scores =
        criterion_for(group, inputs).units(unit_evidence(group, *model_.weights, inputs));
    KeptUnits units{group, highest(scores, count_of(group))};
    const bool ffn = group.kind == DependencyGroup::Kind::ffn_neurons;
    Json row = {{"module", label(group)}, {"units", group.units}, {"kept", units.kept.size()}};
    double all = 0, kept = 0, lowest = INFINITY;
    for (const double score : scores) all += score;
    for (const int64_t unit : units.kept) {
      kept += scores[static_cast<size_t>(unit)];
      lowest = std::min(lowest, scores[static_cast<size_t>(unit)]);
    }
    row["score_kept"] = all > 0 ? kept / all : 1.0;
    row["lowest_kept_score"] = lowest;
    if (!ffn) row["kept_units"] = units.kept;
    if (inputs != nullptr) row["tokens"] = inputs->rows;
    if (options_.compensate == "least_squares") refit(units, evidence, row);
    if (!group.norm.empty()) rescale(units);
    context_.report.layers.push_back(std::move(row));
    plan_.groups.push_back(std::move(units));
  }

  /// Over fewer channels a mean square is of fewer values; the weights make up for it, so that the
  /// norm gives what it gave with zeros in the others.
  void rescale(const KeptUnits& units) {
    const std::vector<float> weights = model_.weights->floats(units.group.norm);
    const auto per_unit = static_cast<int64_t>(weights.size()) / units.group.units;
    std::vector<float>& scaled = refitted_[units.group.norm];
    for (const int64_t row : elements_of(units.kept, per_unit))
      scaled.push_back(weights[static_cast<size_t>(row)] * norm_factor(units));
  }

  static float norm_factor(const KeptUnits& units) {
    return std::sqrt(static_cast<float>(units.group.units) / static_cast<float>(units.kept.size()));
  }

  /// The source's spec where norms over channels with zeros have the ε that the pruned norms have.
  ModelSpec masked_spec() const {
    ModelSpec spec = spec_;
    for (const KeptUnits& units : plan_.groups) {
      BlockSpec& block = spec.blocks[static_cast<size_t>(units.group.block)];
      for (NormSpec* norm : {&block.attention.o_norm, &block.mlp.down_norm})
        if (!units.group.norm.empty() && norm->weight == units.group.norm)
          norm->eps *=
              static_cast<float>(units.kept.size()) / static_cast<float>(units.group.units);
    }
    return spec;
  }

  void refit(const KeptUnits& units, const BlockEvidence& evidence, Json& row) {
    const auto& part = units.group.columns.front();
    const std::vector<float> w = model_.weights->floats(part.tensor);
    const int64_t cols = units.group.units * part.per_unit;
    std::vector<int64_t> columns;
    for (const int64_t unit : units.kept)
      for (int64_t i = 0; i < part.per_unit; ++i) columns.push_back(unit * part.per_unit + i);
    const auto gram = evidence.grams.find(part.tensor);  // none for an expert without tokens
    std::vector<float> fitted;
    if (gram != evidence.grams.end())
      fitted = refit_columns(w, static_cast<int64_t>(w.size()) / cols, cols, gram->second, columns);
    row["compensated"] = !fitted.empty();
    if (fitted.empty())
      context_.report.fallbacks.push_back(
          {"not compensated", part.tensor, "the second moments of its inputs are singular"});
    else
      refitted_[part.tensor] = std::move(fitted);
  }

  void choose_layers() {
    const auto layers = static_cast<int64_t>(spec_.blocks.size());
    std::vector<double> influence(static_cast<size_t>(layers));
    HiddenStream stream = calibration_stream(spec_, *model_.weights, windows_, windows_.count());
    Progress progress("prune", layers, "blocks");
    for (int64_t index = 0; index < layers; ++index) {
      progress.update(index);
      const Block block(spec_, index, *model_.weights);
      influence[static_cast<size_t>(index)] =
          criterion_.layer(pass_watched(stream, block, index, {}, spec_, false).block);
      if (!std::isfinite(influence[static_cast<size_t>(index)]))
        throw failure("the hidden states are not finite", fmt::format("layer {}", index));
    }
    std::vector<double> scores = influence;
    for (int64_t i = 0; i < layers; ++i)
      if (i < options_.protect_first || i >= layers - options_.protect_last)
        scores[static_cast<size_t>(i)] = INFINITY;
    plan_.layers = highest(scores, counts_.layers);
    for (int64_t i = 0; i < layers; ++i)
      context_.report.layers.push_back(
          {{"module", fmt::format("layer {}", i)},
           {"score", influence[static_cast<size_t>(i)]},
           {"protected", std::isinf(scores[static_cast<size_t>(i)])},
           {"kept", std::binary_search(plan_.layers.begin(), plan_.layers.end(), i)}});
  }

  DenseTensor dense(const std::string& name) const {
    return std::get<DenseTensor>(model_.weights->load(name));
  }

  /// The tensor's bytes in the pruned model.
  std::vector<std::byte> bytes_of(const TensorSource& source) const {
    const DenseTensor tensor = dense(source.from);
    const auto fitted = refitted_.find(source.from);
    if (fitted == refitted_.end()) return slice(source, tensor);
    std::vector<std::byte> bytes(fitted->second.size() * dtype_size(tensor.dtype));
    from_float32(fitted->second, tensor.dtype, bytes);
    return bytes;
  }

  void write(const ModelSpec& pruned, const Json& config, const std::vector<TensorSource>& sources,
             const fs::path& directory) {
    std::vector<TensorPlan> plans;
    for (const TensorSource& source : sources)
      plans.push_back({source.tensor.name, source.tensor.shape, dense(source.from).dtype, {}});
    StoredWriter writer(pruned, directory, config, plans, model_.path);
    for (const TensorSource& source : sources)
      writer.write(source.tensor.name, std::span<const std::byte>(bytes_of(source)));
    writer.finish();
  }

  void report_facts(const ModelSpec& pruned) const {
    Json& facts = context_.report.facts;
    facts["criterion"] = criterion_.name;
    facts["parameters_before"] = spec_.parameters();
    facts["parameters"] = pruned.parameters();
    facts["layers"] = {{"before", spec_.blocks.size()}, {"after", pruned.blocks.size()}};
    for (size_t i = 0; i < pruned.blocks.size(); ++i) {
      const AttentionSpec& after = pruned.blocks[i].attention;
      const AttentionSpec& before = spec_.blocks[static_cast<size_t>(plan_.layers[i])].attention;
      if (before.kv_heads == 0) continue;
      facts["heads"] = {{"before", before.heads}, {"after", after.heads}};
      facts["kv_heads"] = {{"before", before.kv_heads}, {"after", after.kv_heads}};
      break;
    }
    Json widths = Json::array();
    for (const auto& [width, kept] : counts_.ffn) {
      Json row = {{"before", width}, {"after", kept}, {"multiple_of", options_.multiple_of}};
      if (options_.keep.ffn && *options_.keep.ffn <= 1)
        row["asked"] = *options_.keep.ffn * static_cast<double>(width);
      widths.push_back(std::move(row));
    }
    if (widths.size() == 1) facts["ffn"] = widths.front();
    if (widths.size() > 1) facts["ffn"] = widths;  // dense, experts, shared expert
    if (pruned.parameters() == spec_.parameters()) facts["note"] = "nothing was removed";
    if (windows_.window > 0) facts["calibration"] = audited_facts(context_, windows_, spec_);
  }

  void check(const std::vector<TensorSource>& sources, const fs::path& directory) {
    const Model written = open_model(directory);
    int64_t wrong = 0;
    for (const TensorSource& source : sources) {
      const auto back = std::get<DenseTensor>(written.weights->load(source.tensor.name));
      const auto expected = bytes_of(source);
      wrong += !std::equal(expected.begin(), expected.end(), back.bytes.begin(), back.bytes.end());
    }
    context_.report.checks.push_back(
        {"re-read from disk", wrong == 0,
         wrong == 0 ? fmt::format("{} tensors are exactly what was computed", sources.size())
                    : fmt::format("{} tensors differ", wrong)});
    if (windows_.window > 0) context_.report.checks.push_back(check_masked(written));
  }

  /// The source with zeros where something was taken out must give the same logits.
  Check check_masked(const Model& written) const {
    const int64_t count = std::min(kCheckWindows, windows_.count());
    std::map<std::string, std::vector<float>> stored;  // refitted weights as their type rounds them
    for (const auto& [name, values] : refitted_) {
      const DType dtype = dense(name).dtype;
      std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
      from_float32(values, dtype, bytes);
      to_float32(bytes, dtype, stored[name] = std::vector<float>(values.size()));
    }
    for (const KeptUnits& units : plan_.groups)
      if (!units.group.norm.empty())
        for (float& weight : stored.at(units.group.norm)) weight /= norm_factor(units);
    const auto masked = masked_weights(*model_.weights, spec_, plan_, stored);
    // A layer whose output projections are zero adds nothing; but after a post norm its input
    // would still be normed once more, so there the layers that went are passed by.
    const bool post_norm = spec_.blocks.front().residual == Residual::post_norm;
    const auto expected = streamed_results(masked_spec(), *masked, windows_, count,
                                           post_norm ? plan_.layers : std::vector<int64_t>{});
    const auto found = streamed_results(written.spec, *written.weights, windows_, count);
    float worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const float difference = std::abs(expected[i] - found[i]);
      if (!(difference <= worst)) worst = difference;  // NaN too
    }
    return {"equals the masked source", worst <= 1e-4f,
            fmt::format("largest {} difference {:.2g} on {} {} of {}{} ids",
                        spec_.task == Task::embed ? "vector" : "logit", worst, count,
                        windows_.starts.empty() ? "windows" : "texts",
                        windows_.starts.empty() ? "" : "at most ", windows_.window)};
  }

  StageContext& context_;
  PruneOptions options_;
  const Criterion& criterion_;
  const Model model_;
  const ModelSpec& spec_;
  KeptCounts counts_;
  TokenWindows windows_;
  PrunePlan plan_;
  std::map<std::string, std::vector<float>> refitted_;  // by tensor, [rows, kept columns]
};

void run(StageContext& context) {
  PruneRun(context).run();
}

}  // namespace

StageType prune_stage() {
  StageType type;
  type.name = "prune";
  type.summary = "takes out FFN neurons, attention heads or layers that matter least";
  type.describe = describe_options<PruneOptions>;
  type.resolve = resolve;
  type.references = references;
  type.estimate = estimate_prune;
  type.run = run;
  return type;
}

}  // namespace attar
