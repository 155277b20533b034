#include "quantize/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>

#include "compress/architecture/family.h"
#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/mapped_pages.h"
#include "compress/base/progress.h"
#include "compress/pipeline/calibration.h"
#include "compress/pipeline/float_input.h"
#include "compress/runtime/hidden_stream.h"
#include "quantize/emit.h"
#include "quantize/emit_gguf.h"
#include "quantize/encoder_probe.h"
#include "quantize/estimate.h"
#include "quantize/fold_block.h"
#include "quantize/legal_options.h"
#include "quantize/modules.h"
#include "quantize/options.h"
#include "quantize/presets.h"
#include "quantize/rotation.h"
#include "quantize/schemes.h"
#include "quantize/spend_budget.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kProbeWindows = 4;

nlohmann::ordered_json resolve(const Node& node, Problems& problems) {
  const auto given = parse_options<QuantizeOptions>(node, problems, kStageKeys);
  check_options(with_preset(given), node, problems);
  return dump_options(given);
}

void references(const Node& node, std::vector<std::string>& data, std::vector<std::string>&) {
  if (const auto name = node["data"].text()) data.push_back(*name);
}

/// One run of the stage.
class QuantizeRun {
 public:
  explicit QuantizeRun(StageContext& context)
      : context_(context),
        options_(with_preset(context.options<QuantizeOptions>())),
        original_(open_float_input(context, "quantize")),
        model_(options_.rotate == "none"
                   ? original_
                   : rotated(original_, context.seed, context.spec.where + ".rotate")),
        spec_(model_.spec),
        scheme_(find_scheme(options_.scheme, context.spec.where + ".scheme")),
        format_(file_layout(options_, context.spec.where + ".format")) {
    if (gguf()) {
      plan_ = plan_block_types(model_, scheme_);
    } else {
      plan_ = plan_modules(spec_, options_, scale_dtype(), context.spec.where);
      if (options_.budget) check_budget(spec_, plan_, options_, context.spec.where);
      check_format();
    }
    if (!options_.data.empty()) windows_ = calibration_windows(context, options_.data, spec_);
    if (options_.rotate != "none") check_rotation();
  }

  void run() {
    const QuantizeCheckpoint checkpoint = quantize_all();
    const fs::path directory = context_.output / "model";
    fs::create_directories(directory);
    report(checkpoint);
    if (gguf())
      emit_gguf(model_, *scheme_.mixture, head_importance_, plan_.modules, checkpoint,
                directory / "model.gguf", context_.report);
    else
      emit(checkpoint, directory);
    probe(directory);
  }

 private:
  bool gguf() const { return scheme_.mixture != nullptr; }

  void emit(const QuantizeCheckpoint& checkpoint, const fs::path& directory) const {
    const std::optional<DType> dense =
        options_.dense_dtype == "keep" ? std::nullopt : dtype_from_torch_name(options_.dense_dtype);
    const auto tensors = plan_tensors(spec_, plan_, dense, [&](const std::string& name) {
      return std::get<DenseTensor>(model_.weights->load(name)).dtype;
    });
    write_quantized(model_, tensors, plan_.modules, checkpoint, format_, directory);
    context_.report.checks.push_back(
        check_emitted(model_, tensors, plan_.modules, checkpoint, directory));
  }

  void probe(const fs::path& directory) const {
    auto& checks = context_.report.checks;
    if (windows_.window == 0) return;
    if (spec_.task != Task::causal_lm)
      return checks.push_back(probe_encoder(model_, directory, windows_, options_.max_kl));
    const int64_t count = std::min(kProbeWindows, windows_.count());
    checks.push_back(
        probe_emitted(original_, directory,
                      std::span(windows_.ids).first(static_cast<size_t>(count * windows_.window)),
                      windows_.window, options_.max_kl));
  }

  /// Before anything is rounded.
  void check_rotation() const {
    std::vector<int32_t> ids(windows_.ids.begin(),
                             windows_.ids.begin() + std::min<int64_t>(windows_.window, 512));
    for (int64_t i = 0; ids.size() < 16; ++i)  // without calibration data
      ids.push_back(static_cast<int32_t>(i * 7919 % spec_.vocab));
    const Check check = check_same_function(original_, model_, ids, std::ssize(ids));
    context_.report.checks.push_back(check);
    if (!check.passed) throw failure("the rotated model is not the same: " + check.detail);
  }

  DType own_dtype() const {
    return std::get<DenseTensor>(
               model_.weights->load(spec_.blocks.front().outputs().front()->weight))
        .dtype;
  }

  /// What the files' layout cannot hold is told before anything is computed.
  void check_format() const {
    const std::string where = context_.spec.where + ".format";
    if (format_.scale_dtype && scale_dtype() != *format_.scale_dtype)
      throw bad_input(fmt::format("{} stores scales as {}", format_.name,
                                  torch_dtype_name(*format_.scale_dtype)),
                      where, "leave scale_dtype out");
    check_layouts(plan_, format_, where);
  }

  DType scale_dtype() const {
    return attar::scale_dtype(options_, format_, [this] { return own_dtype(); });
  }

  std::string fingerprint() const {
    return sha256(dump_options(options_).dump() + windows_.facts.sha256 + ATTAR_VERSION +
                  model_.config.dump() + model_.path.string());
  }

  /// Layers of one block (−1: the head) by the input they share, in execution order.
  std::vector<std::vector<const QuantModule*>> by_input(int64_t block) const {
    std::map<std::string, std::string> leaders;
    if (block >= 0) leaders = input_leaders(spec_.blocks[static_cast<size_t>(block)]);
    std::vector<std::vector<const QuantModule*>> result;
    std::string last;
    for (const QuantModule& module : plan_.modules) {
      if (module.block != block) continue;
      const std::string leader = block >= 0 ? leaders.at(module.name) : module.name;
      if (result.empty() || leader != last) result.emplace_back();
      last = leader;
      result.back().push_back(&module);
    }
    return result;
  }

  QuantizeCheckpoint quantize_all() {
    QuantizeCheckpoint checkpoint(context_.scratch, fingerprint());
    if (options_.budget)
      context_.report.facts["budget"] =
          spend_budget(model_, windows_, options_, context_.scratch, plan_);
    const auto blocks = static_cast<int64_t>(spec_.blocks.size());
    Progress progress("quantize", blocks, "blocks");
    if (calibrates(options_)) restore(checkpoint);
    auto saved = std::chrono::steady_clock::now();
    for (int64_t block = checkpoint.finished(); block < blocks; ++block) {
      progress.update(block);
      QuantizedModules part;
      if (calibrates(options_))
        calibrate_block(block, part);
      else
        for (const auto& modules : by_input(block))
          quantize_modules(modules, nullptr, *model_.weights, options_, part);
      checkpoint.commit(part);
      release_mapped_pages();
      if (!calibrates(options_)) continue;
      const auto now = std::chrono::steady_clock::now();
      if (std::chrono::duration<double>(now - saved).count() < options_.checkpoint_seconds)
        continue;
      save(checkpoint, block + 1);
      saved = now;
    }
    progress.update(blocks);
    if (checkpoint.finished() == blocks && plan_.modules.back().block < 0)
      quantize_ends(checkpoint);
    if (gguf() && calibrates(options_) && spec_.task == Task::causal_lm) {
      const InputMoments moments = head_moments();
      std::vector<float>& importance =
          head_importance_[Storage(spec_).stored_name(spec_.head.weight)];
      for (int64_t j = 0; j < moments.size; ++j)
        importance.push_back(
            static_cast<float>(moments.gram[static_cast<size_t>(j * (moments.size + 1))] /
                               static_cast<double>(moments.tokens)));
    }
    return checkpoint;
  }

  /// Brings the activations to the first block that is not finished.
  void restore(const QuantizeCheckpoint& checkpoint) {
    int64_t block = 0;
    const bool exact = *options_.correction > 0;
    if (auto saved = checkpoint.saved()) {
      block = saved->block;
      HiddenStream stream(spec_, std::move(saved->hidden), all_starts());
      walk_ = exact ? std::make_unique<CalibrationWalk>(
                          spec_, std::move(stream),
                          HiddenStream(spec_, std::move(saved->exact), all_starts()))
                    : std::make_unique<CalibrationWalk>(spec_, std::move(stream), false);
    } else {
      walk_ = std::make_unique<CalibrationWalk>(
          spec_, calibration_stream(spec_, *model_.weights, windows_, windows_.count()), exact);
    }
    if (options_.fold == "smoothquant") walk_->track_largest();
    const auto blocks = static_cast<int64_t>(spec_.blocks.size());
    if (checkpoint.finished() > 0)
      say(fmt::format("quantize: {} of {} blocks were finished earlier",
                      std::min(blocks, checkpoint.finished()), blocks));
    for (; block < std::min(blocks, checkpoint.finished()); ++block)
      advance(block, checkpoint.load(block, plan_.modules));
  }

  void save(QuantizeCheckpoint& checkpoint, int64_t block) const {
    const HiddenStream* exact = walk_->exact();
    checkpoint.save({block, walk_->stream().hidden(),
                     exact != nullptr ? exact->hidden() : std::vector<float>{}});
  }

  std::vector<int64_t> all_starts() const {
    std::vector<int64_t> starts;
    for (int64_t w = 0; w <= windows_.count(); ++w) starts.push_back(windows_.start(w));
    return starts;
  }

  /// True when what comes after the block matters to nobody.
  bool is_last(int64_t block) const {
    return block + 1 == static_cast<int64_t>(spec_.blocks.size()) && options_.lm_head == "keep" &&
           !gguf();
  }

  /// Quantizes a block's layers on the way of the windows through it.
  void calibrate_block(int64_t block, QuantizedModules& part) {
    const auto leaders = input_leaders(spec_.blocks[static_cast<size_t>(block)]);
    std::map<std::string, std::vector<const QuantModule*>> readers;
    for (const auto& modules : by_input(block))
      readers[leaders.at(modules.front()->name)] = modules;
    std::set<std::string> wanted;
    for (const auto& [leader, modules] : readers) wanted.insert(leader);
    OverlayWeights weights(*model_.weights);
    if (options_.fold != "none") fold_block(block, weights, part);
    const auto quantize = [&](const std::string& leader, const InputMoments& moments) {
      const auto& modules = readers.at(leader);
      quantize_modules(modules, &moments, weights, options_, part);
      CalibrationWalk::Replaced replaced;
      if (options_.propagate_error)
        for (const QuantModule* module : modules)
          replaced.emplace(module->name, part.weight_of(module->name));
      return replaced;
    };
    if (options_.true_sequential)
      return walk_->walk(block, weights, *model_.weights, wanted, quantize, is_last(block));
    walk_->look(block, weights, *model_.weights, wanted, quantize);
    advance(block, part);
  }

  /// Takes the activations through a finished block.
  void advance(int64_t block, const QuantizedModules& part) {
    if (is_last(block)) return;
    OverlayWeights weights(*model_.weights);
    if (options_.propagate_error)
      for (const auto& [name, tensor] : part.dense) weights.put(name, tensor);
    walk_->pass(block, weights, *model_.weights,
                options_.propagate_error ? part.weights() : CalibrationWalk::Replaced{});
  }

  /// Rescales a block's channels in `weights`.
  void fold_block(int64_t block, OverlayWeights& weights, QuantizedModules& part) {
    const FoldingPlan plan =
        plan_foldings(spec_.blocks[static_cast<size_t>(block)],
                      [&](const std::string& module) { return plan_.find(module) != nullptr; });
    choose_foldings(spec_, block, plan, plan_, options_, *walk_, weights, part);
  }

  /// Of what the output head reads.
  InputMoments head_moments() const {
    InputMoments moments;
    const OutputHead head(spec_, *model_.weights);
    moments.size = spec_.hidden;
    const HiddenStream& stream = walk_->stream();
    for (int64_t w = 0; w < stream.windows(); ++w)
      moments.add(head.normalized(stream.window(w), windows_.window).data(), windows_.window);
    return moments;
  }

  /// The head, with moments of its input, and the embedding, which has none.
  void quantize_ends(QuantizeCheckpoint& checkpoint) const {
    QuantizedModules part;
    for (const auto& modules : by_input(-1)) {
      const bool calibrated =
          calibrates(options_) && modules.front()->linear.weight != spec_.embedding;
      InputMoments moments;
      if (calibrated) moments = head_moments();
      quantize_modules(modules, calibrated ? &moments : nullptr, *model_.weights, options_, part);
    }
    checkpoint.commit(part);
  }

  void report(const QuantizeCheckpoint& checkpoint) const {
    StageReport& report = context_.report;
    report.fallbacks.insert(report.fallbacks.end(), plan_.fallbacks.begin(), plan_.fallbacks.end());
    Json foldings = Json::array();
    for (int64_t i = 0; i < checkpoint.finished(); ++i) {
      const QuantizedModules part = checkpoint.load(i, plan_.modules);
      for (const auto& row : part.rows) report.layers.push_back(row);
      report.fallbacks.insert(report.fallbacks.end(), part.fallbacks.begin(), part.fallbacks.end());
      for (const auto& row : part.foldings) foldings.push_back(row);
    }
    if (!foldings.empty()) report.facts["foldings"] = std::move(foldings);
    double bits = 0, weights = 0;
    for (const QuantModule& module : plan_.modules) {
      const auto count = static_cast<double>(module.linear.out * module.linear.in);
      bits += module.bits() * count;
      weights += count;
    }
    report.facts["scheme"] = options_.scheme;
    report.facts["format"] = options_.format;
    report.facts["layers"] = plan_.modules.size();
    if (!gguf())
      report.facts["scale_dtype"] = torch_dtype_name(plan_.modules.front().layout.scale_dtype);
    report.facts["bits_per_quantized_weight"] = bits / weights;
    if (!plan_.notes.empty()) report.facts["notes"] = plan_.notes;
    if (windows_.window == 0) {
      report.facts["calibration"] = "none: no data, so no probe either";
      return;
    }
    report.facts["calibration"] = audited_facts(context_, windows_, spec_);
  }

  StageContext& context_;
  QuantizeOptions options_;
  const Model original_, model_;  // the second rotated, when that is asked for
  const ModelSpec& spec_;
  const Scheme& scheme_;
  const QuantFormat& format_;  // of other than GGUF's schemes
  QuantPlan plan_;
  gguf_export::Importance head_importance_;
  TokenWindows windows_;
  std::unique_ptr<CalibrationWalk> walk_;
};

void run(StageContext& context) {
  QuantizeRun(context).run();
}

}  // namespace

StageType quantize_stage() {
  StageType type;
  type.name = "quantize";
  type.summary = "rounds weights to integers: GPTQ or round-to-nearest, block by block";
  type.describe = describe_options<QuantizeOptions>;
  type.resolve = resolve;
  type.references = references;
  type.estimate = estimate_quantize;
  type.run = run;
  return type;
}

}  // namespace attar
