#include "quantize/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/pattern.h"
#include "compress/pipeline/gguf/write.h"

namespace attar {
namespace {

/// Shell-like: * any run of characters, ? one.
bool matches_glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*')
    return matches_glob(pattern.substr(1), text) ||
           (!text.empty() && matches_glob(pattern, text.substr(1)));
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         matches_glob(pattern.substr(1), text.substr(1));
}

std::string last_part(const std::string& module) {
  return module.substr(module.rfind('.') + 1);
}

std::vector<QuantModule> all_linears(const ModelSpec& spec) {
  std::vector<QuantModule> modules;
  const Storage storage(spec);
  for (size_t block = 0; block < spec.blocks.size(); ++block)
    for (const auto& [name, linear] : spec.blocks[block].linears())
      modules.push_back({linear->module(),
                         name,
                         storage.stored_module(*linear),
                         *linear,
                         static_cast<int64_t>(block),
                         {}});
  return modules;
}

/// A layer's name in the spec and in the published model.
struct Names {
  std::string own, stored;
};

/// Which layers some pattern names; a pattern that names none is an error.
std::vector<bool> selected(const std::vector<std::string>& patterns,
                           const std::vector<Names>& modules, const std::string& where) {
  std::vector<bool> result(modules.size());
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (size_t i = 0; i < modules.size(); ++i)
      if (names_module(pattern, modules[i].own, where) ||
          names_module(pattern, modules[i].stored, where))
        any = result[i] = true;
    if (any) continue;
    std::vector<std::string> known;
    for (const auto& [own, stored] : modules)
      for (const std::string& name : {own, stored}) {
        known.push_back(name);
        known.push_back(last_part(name));
      }
    const std::string close = nearest(pattern, known);
    throw bad_input(fmt::format("'{}' names no linear layer of this model", pattern), where,
                    close.empty() ? fmt::format("layers are called like {}", modules.front().own)
                                  : fmt::format("did you mean '{}'?", close));
  }
  return result;
}

/// "the nearest that do: 43, 86", the divisors of `cols` beside `group`.
std::string legal_groups(int64_t cols, int64_t group) {
  int64_t below = 0, above = 0;
  for (int64_t size = 2; size <= cols; ++size) {
    if (cols % size != 0) continue;
    if (size < group) below = size;
    if (size > group && above == 0) above = size;
  }
  std::string text = "the nearest that divide it:";
  if (below > 0) text += fmt::format(" {}", below);
  if (above > 0) text += fmt::format("{} {}", below > 0 ? "," : "", above);
  return text;
}

/// The parts of one stored tensor are quantized together or not at all.
void require_whole_tensors(const QuantPlan& plan, const std::vector<QuantModule>& all,
                           const std::string& where) {
  std::map<std::string_view, const QuantModule*> planned;    // by name
  std::map<std::string_view, const QuantModule*> by_stored;  // one of each
  for (const QuantModule& module : plan.modules) {
    planned.emplace(module.name, &module);
    by_stored.emplace(module.stored, &module);
  }
  for (const QuantModule& other : all) {
    const auto partner = by_stored.find(other.stored);
    if (partner == by_stored.end()) continue;
    const QuantModule& module = *partner->second;
    const auto found = planned.find(other.name);
    if (found == planned.end() || found->second->layout != module.layout)
      throw bad_input(
          fmt::format("{} is to be quantized and {} not, but both stand in one tensor, {}",
                      module.name, other.name, module.stored),
          where, "name " + last_part(module.stored) + " in targets or ignore");
  }
}

/// Files hold these layers as [in, out], which compressed-tensors has no word for: other programs
/// expect it of linear layers only.
void note_transposed(const QuantPlan& plan, const ModelSpec& spec,
                     std::vector<std::string>& notes) {
  const Storage storage(spec);
  for (const QuantModule& module : plan.modules) {
    const auto* place = storage.find(module.linear.weight);
    if (place == nullptr || !place->whole->transposed) continue;
    notes.push_back(
        fmt::format("{} and its like are no linear layers in Transformers, which will "
                    "not find their codes; attar reads them",
                    module.stored));
    return;
  }
}

/// The embedding table as if it were a layer: a row for every id.
QuantModule embedding_module(const ModelSpec& spec) {
  const LinearSpec table{spec.embedding, {}, spec.vocab, spec.hidden};
  const std::string name = table.module();
  return {name, last_part(name), name, table, -1, {}};
}

/// The head and the embedding, where they are to be quantized.
void check_ends(const ModelSpec& spec, const QuantizeOptions& options, const std::string& where) {
  const bool encoder = spec.task != Task::causal_lm;
  if (options.lm_head == "quantize" && encoder)
    throw bad_input(spec.architecture + " has no output head over a vocabulary", where,
                    "leave lm_head: keep; a classifier's head is small and stays as it is");
  if (options.lm_head == "quantize" && spec.tied)
    throw bad_input("the output head is tied to the embedding and cannot be quantized alone", where,
                    "embedding: int8 quantizes both");
  if (options.embedding == "keep") return;
  if (encoder)
    throw bad_input("an encoder's embedding is not quantized", where, "leave embedding: keep");
  if (Storage(spec).find(spec.embedding) != nullptr)
    throw bad_input("this model's files hold the embedding in another form", where,
                    "leave embedding: keep");
  if (options.format != "compressed-tensors")
    throw bad_input(fmt::format("{} has no word for a quantized embedding", options.format), where,
                    "format: compressed-tensors, or a GGUF scheme");
}

void apply(const QuantizeOverride& entry, QuantLayout& layout) {
  if (entry.bits) layout.bits = static_cast<int>(*entry.bits);
  if (layout.bits != 8) layout.int8_inputs = false;
  if (entry.group_size) layout.group = std::max<int64_t>(0, *entry.group_size);
  if (entry.symmetric) layout.symmetric = *entry.symmetric;
}

/// Layers that many programs store as one matrix; they need one layout.
void note_split_partners(const QuantPlan& plan, const ModelSpec& spec,
                         std::vector<std::string>& notes) {
  std::set<std::string_view> planned;
  for (const QuantModule& module : plan.modules) planned.insert(module.linear.weight);
  const auto quantized = [&](const LinearSpec& linear) { return planned.contains(linear.weight); };
  const auto note = [&](const char* layers) {
    notes.push_back(fmt::format(
        "{} are only partly quantized: servers that fuse them will not load this model", layers));
  };
  for (const BlockSpec& block : spec.blocks) {
    const bool q = quantized(block.attention.q);
    if (q != quantized(block.attention.k) || q != quantized(block.attention.v))
      return note("q, k and v");
    for (const MlpSpec* mlp : block.mlps())
      if (mlp->gated() && quantized(mlp->gate) != quantized(mlp->up)) return note("gate and up");
  }
}

}  // namespace

bool names_module(const std::string& pattern, const std::string& module, const std::string& where) {
  if (pattern.starts_with("re:")) return Pattern(pattern.substr(3), where).matches_start(module);
  return pattern == module || pattern == last_part(module) || pattern == "Linear" ||
         (pattern.find_first_of("*?") != std::string::npos && matches_glob(pattern, module));
}

double QuantModule::bits() const {
  return block_type != nullptr ? block_type->bits_per_weight() : bits_per_weight(layout, linear.in);
}

const QuantModule* QuantPlan::find(const std::string& module) const {
  for (const QuantModule& candidate : modules)
    if (candidate.name == module) return &candidate;
  return nullptr;
}

QuantPlan plan_modules(const ModelSpec& spec, const QuantizeOptions& options, DType scale_dtype,
                       const std::string& where) {
  const Scheme& scheme = find_scheme(options.scheme, where);
  const int64_t scheme_group = std::max<int64_t>(0, options.group_size.value_or(scheme.group));
  if (scheme.activations == "int8" && (scheme_group != 0 || options.budget))
    throw bad_input(fmt::format("{} has one scale a row and one width for all layers", scheme.name),
                    where, "leave out group_size and budget");
  std::vector<QuantModule> modules = all_linears(spec);
  const bool encoder = spec.task != Task::causal_lm;
  const std::string head = spec.tied || encoder ? "lm_head" : spec.head.module();
  const size_t head_at = modules.size(), embedding_at = head_at + 1;
  modules.push_back({head, last_part(head), head, spec.head, -1, {}});
  modules.push_back(embedding_module(spec));
  std::vector<Names> names;
  names.reserve(modules.size());
  for (const QuantModule& module : modules) names.push_back({module.name, module.stored});

  std::vector<bool> wanted(names.size(), true);
  if (!options.targets.empty()) wanted = selected(options.targets, names, where);
  const std::vector<bool> ignored = selected(options.ignore, names, where);
  // Patterns may name these two, `ignore: [lm_head]`; only their own options quantize them.
  check_ends(spec, options, where);
  wanted[head_at] = options.lm_head == "quantize";
  wanted[embedding_at] = options.embedding != "keep";

  std::vector<std::vector<bool>> overridden;
  for (const QuantizeOverride& entry : options.overrides)
    overridden.push_back(selected(entry.targets, names, where));
  QuantPlan plan;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (!wanted[i] || ignored[i]) continue;
    QuantModule module = modules[i];
    module.layout = {
        scheme.bits,  scheme_group, scheme.symmetric, scale_dtype, scheme.activations == "int8",
        scheme.levels};
    if (i == embedding_at && options.embedding == "int8") module.layout.bits = 8;
    for (size_t entry = 0; entry < overridden.size(); ++entry)
      if (overridden[entry][i]) {
        apply(options.overrides[entry], module.layout);
        break;
      }
    const int64_t group = module.layout.group;
    if (group != 0 && module.linear.in % group != 0) {
      const std::string what = fmt::format("{}: {} columns are no multiple of group_size {}",
                                           module.name, module.linear.in, group);
      if (options.on_indivisible == "error" || options.strict)
        throw bad_input(
            what, where,
            legal_groups(module.linear.in, group) +
                "; without strict, on_indivisible: channel gives one scale a row there");
      module.layout.group = 0;
      plan.fallbacks.push_back(
          {"one scale a row instead of groups", module.name,
           fmt::format("{} columns are no multiple of {}", module.linear.in, group)});
    }
    plan.modules.push_back(std::move(module));
  }
  if (plan.modules.empty())
    throw bad_input("no layer is left to quantize", where, "check targets and ignore");
  require_whole_tensors(plan, modules, where);
  note_split_partners(plan, spec, plan.notes);
  note_transposed(plan, spec, plan.notes);
  if (scheme.levels != Levels::integers)
    plan.notes.push_back(fmt::format("the files are in the layout of {}, which alone has {} levels",
                                     options.format, to_string(scheme.levels)));
  if (options.embedding != "keep")
    plan.notes.push_back(
        "the embedding is quantized: attar reads it, other programs only where they decompress "
        "embeddings");
  return plan;
}

QuantPlan plan_block_types(const Model& model, const Scheme& scheme) {
  const auto types = gguf_export::matrix_types(model, *scheme.mixture);
  const Storage storage(model.spec);
  QuantPlan plan;
  for (QuantModule& module : all_linears(model.spec)) {
    const auto type = types.find(storage.stored_name(module.linear.weight));
    if (type == types.end()) {
      plan.fallbacks.push_back({"encoded without calibration", module.name,
                                "the file has it as floats, or not row by row"});
      continue;
    }
    module.block_type = type->second;
    plan.modules.push_back(std::move(module));
  }
  return plan;
}

}  // namespace attar
