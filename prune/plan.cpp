#include "prune/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "compress/architecture/family.h"
#include "compress/base/error.h"
#include "prune/selection.h"
#include "prune/slicing.h"

namespace attar {
namespace {

void refuse(const std::optional<double>& value, const char* name, const char* method,
            const std::string& where) {
  if (value)
    throw bad_input(fmt::format("keep.{} has no meaning with method: {}", name, method), where,
                    "chain two prune stages, one for width and one for depth");
}

/// Layers of one kind must have the same widths: that is all that config.json can say.
void require_uniform(const ModelSpec& spec, const std::string& where) {
  const AttentionSpec* attention = spec.first_attention();
  std::map<bool, std::vector<int64_t>> widths;  // of dense layers, of those with experts
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const BlockSpec& block = spec.blocks[i];
    std::vector<int64_t> mine;
    for (const MlpSpec* mlp : block.mlps()) mine.push_back(mlp->width);
    const auto& first = widths.emplace(block.moe.has_value(), mine).first->second;
    const bool same_heads = block.delta_net || (block.attention.heads == attention->heads &&
                                                block.attention.kv_heads == attention->kv_heads);
    if (first != mine || !same_heads)
      throw bad_input(fmt::format("layer {} has other widths than layers before it", i), where,
                      "width pruning needs the same widths in every layer");
  }
}

/// What stays of MLPs of every width.
std::map<int64_t, int64_t> kept_neurons(const ModelSpec& spec, const PruneOptions& options,
                                        const std::string& where) {
  std::map<int64_t, int64_t> kept;
  for (const BlockSpec& block : spec.blocks)
    for (const MlpSpec* mlp : block.mlps()) kept[mlp->width] = mlp->width;
  const std::optional<double>& keep = options.keep.ffn;
  if (!keep) return kept;
  if (*keep > 1 && kept.size() > 1) {
    std::vector<int64_t> widths;
    for (const auto& [width, count] : kept) widths.push_back(width);
    throw bad_input(fmt::format("the model has MLPs of {} neurons; a count fits only one of them",
                                fmt::join(widths, ", ")),
                    where + ".keep.ffn", "give a share, for instance 0.5");
  }
  for (auto& [width, count] : kept)
    count = kept_count(*keep, width, options.multiple_of, where + ".keep.ffn");
  return kept;
}

/// How many key-value groups hold the heads to keep.
int64_t kept_groups(double keep, const AttentionSpec& attention, const std::string& where) {
  if (keep <= 1) return kept_count(keep, attention.kv_heads, 1, where + ".keep.heads");
  const int64_t per_group = attention.heads / attention.kv_heads;
  const int64_t heads = kept_count(keep, attention.heads, 1, where + ".keep.heads");
  if (heads % per_group != 0)
    throw bad_input(
        fmt::format("{} heads are no whole groups of {}", heads, per_group), where + ".keep.heads",
        fmt::format("heads that share keys and values go together: give a multiple of {}",
                    per_group));
  return heads / per_group;
}

/// The same block apart from names: what may not change when layers are renumbered.
bool same_wiring(const BlockSpec& a, const BlockSpec& b) {
  return a.attention.rope == b.attention.rope && a.attention.window == b.attention.window &&
         a.attention.head_dim == b.attention.head_dim && a.mlp.activation == b.mlp.activation &&
         a.attention.q_norm.kind == b.attention.q_norm.kind &&
         a.delta_net.has_value() == b.delta_net.has_value() &&
         a.moe.has_value() == b.moe.has_value();
}

void shrink(AttentionSpec& attention, int64_t kv_groups) {
  const int64_t per_group = attention.heads / attention.kv_heads;
  attention.kv_heads = kv_groups;
  attention.heads = kv_groups * per_group;
  attention.o.in = attention.heads * attention.head_dim;
  attention.q.out = attention.gated ? 2 * attention.o.in : attention.o.in;
  attention.k.out = attention.v.out = attention.kv_heads * attention.head_dim;
}

void shrink(MlpSpec& mlp, const KeptCounts& counts) {
  const auto kept = counts.ffn.find(mlp.width);
  if (kept == counts.ffn.end()) return;  // no such MLP, or depth pruning
  mlp.width = mlp.up.out = mlp.down.in = kept->second;
  if (mlp.gated()) mlp.gate.out = kept->second;
}

}  // namespace

KeptCounts kept_counts(const ModelSpec& spec, const PruneOptions& options,
                       const std::string& where) {
  const AttentionSpec* attention = spec.first_attention();
  KeptCounts counts{
      {}, attention == nullptr ? 0 : attention->kv_heads, static_cast<int64_t>(spec.blocks.size())};
  const KeepOptions& keep = options.keep;
  if (!keep.ffn && !keep.heads && !keep.layers)
    throw bad_input("keep says nothing", where, "for instance keep: {ffn: 0.5, heads: 0.75}");
  if (options.method == "width") {
    refuse(keep.layers, "layers", "width", where);
    require_uniform(spec, where);
    counts.ffn = kept_neurons(spec, options, where);
    if (keep.heads && attention == nullptr)
      throw bad_input("no layer has softmax attention", where + ".keep.heads",
                      "heads of Gated DeltaNet layers stay");
    if (keep.heads) counts.kv_groups = kept_groups(*keep.heads, *attention, where);
    return counts;
  }
  refuse(keep.ffn, "ffn", "depth", where);
  refuse(keep.heads, "heads", "depth", where);
  if (options.compensate != "none")
    throw bad_input("compensate has no meaning with method: depth", where);
  const int64_t layers = counts.layers;
  counts.layers = kept_count(*keep.layers, layers, 1, where + ".keep.layers");
  if (counts.layers < std::min(layers, options.protect_first + options.protect_last))
    throw bad_input(fmt::format("{} layers are to stay, but {} are protected", counts.layers,
                                options.protect_first + options.protect_last),
                    where, "keep more layers or lower protect_first and protect_last");
  return counts;
}

nlohmann::ordered_json pruned_config(const nlohmann::ordered_json& config, const ModelSpec& spec,
                                     const KeptCounts& counts, const std::vector<int64_t>& layers) {
  ModelSpec pruned = spec;
  pruned.blocks.clear();
  for (const int64_t layer : layers) {
    BlockSpec block = spec.blocks[static_cast<size_t>(layer)];
    if (!block.delta_net) shrink(block.attention, counts.kv_groups);
    if (!block.moe) shrink(block.mlp, counts);
    if (block.moe) {
      for (MlpSpec& expert : block.moe->experts) shrink(expert, counts);
      shrink(block.moe->shared, counts);
    }
    pruned.blocks.push_back(std::move(block));
  }
  nlohmann::ordered_json result = config;
  write_model_spec(pruned, result);
  const ModelSpec back = read_model_spec(result, "the pruned config.json");
  for (size_t i = 0; i < layers.size(); ++i)
    if (back.blocks.size() != layers.size() || !same_wiring(back.blocks[i], pruned.blocks[i]))
      throw failure("this family's config.json cannot describe the pruned model",
                    fmt::format("layer {} of the source", layers[i]),
                    "its layers differ in a pattern that removing some would break");
  return result;
}

std::vector<TensorSource> tensor_sources(const ModelSpec& spec, const ModelSpec& pruned,
                                         const PrunePlan& plan) {
  // Tensors stand in the same order in every block, so the i-th of a pruned block comes from the
  // i-th of its source.
  std::map<int64_t, std::vector<TensorSpec>> by_block;
  for (TensorSpec& tensor : tensors(spec)) by_block[tensor.block].push_back(std::move(tensor));
  std::map<int64_t, size_t> position;
  std::vector<TensorSource> sources;
  for (TensorSpec& tensor : tensors(pruned)) {
    const int64_t block = tensor.block < 0 ? -1 : plan.layers.at(static_cast<size_t>(tensor.block));
    const size_t index = position[tensor.block]++;
    if (index >= by_block[block].size())
      throw failure("the pruned model has a tensor without a source", tensor.name);
    TensorSource source{tensor, by_block[block][index].name, {}, {}};
    for (const KeptUnits& units : plan.groups) {
      if (units.group.block != block) continue;
      for (const auto& part : units.group.rows)
        if (part.tensor == source.from) source.rows = elements_of(units.kept, part.per_unit);
      for (const auto& part : units.group.columns)
        if (part.tensor == source.from) source.columns = elements_of(units.kept, part.per_unit);
    }
    std::vector<int64_t> shape = by_block[block][index].shape;
    if (!source.rows.empty()) shape.front() = static_cast<int64_t>(source.rows.size());
    if (!source.columns.empty()) shape.back() = static_cast<int64_t>(source.columns.size());
    if (shape != tensor.shape)
      throw failure(fmt::format("pruning gives shape [{}], config.json says [{}]",
                                fmt::join(shape, ", "), fmt::join(tensor.shape, ", ")),
                    tensor.name);
    sources.push_back(std::move(source));
  }
  return sources;
}

std::vector<std::byte> slice(const TensorSource& source, const DenseTensor& dense) {
  const auto element = static_cast<int64_t>(dtype_size(dense.dtype));
  std::vector<std::byte> bytes(dense.bytes.begin(), dense.bytes.end());
  if (!source.rows.empty())
    bytes = keep_rows(bytes, static_cast<int64_t>(bytes.size()) / dense.shape.front(), source.rows);
  if (!source.columns.empty())
    bytes = keep_columns(bytes, dense.shape.back(), element, source.columns);
  return bytes;
}

}  // namespace attar
