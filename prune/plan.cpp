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

void require_uniform(const ModelSpec& spec, const std::string& where) {
  const BlockSpec& first = spec.blocks.front();
  for (size_t i = 1; i < spec.blocks.size(); ++i) {
    const BlockSpec& block = spec.blocks[i];
    if (block.mlp.width != first.mlp.width || block.attention.heads != first.attention.heads ||
        block.attention.kv_heads != first.attention.kv_heads)
      throw bad_input(fmt::format("layer {} has other widths than layer 0", i), where,
                      "width pruning needs the same widths in every layer");
  }
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
         a.attention.q_norm.kind == b.attention.q_norm.kind;
}

}  // namespace

KeptCounts kept_counts(const ModelSpec& spec, const PruneOptions& options,
                       const std::string& where) {
  const BlockSpec& block = spec.blocks.front();
  KeptCounts counts{block.mlp.width, block.attention.kv_heads,
                    static_cast<int64_t>(spec.blocks.size())};
  const KeepOptions& keep = options.keep;
  if (!keep.ffn && !keep.heads && !keep.layers)
    throw bad_input("keep says nothing", where, "for instance keep: {ffn: 0.5, heads: 0.75}");
  if (options.method == "width") {
    refuse(keep.layers, "layers", "width", where);
    require_uniform(spec, where);
    if (keep.ffn)
      counts.ffn = kept_count(*keep.ffn, block.mlp.width, options.multiple_of, where + ".keep.ffn");
    if (keep.heads) counts.kv_groups = kept_groups(*keep.heads, block.attention, where);
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
    AttentionSpec& attention = block.attention;
    const int64_t per_group = attention.heads / attention.kv_heads;
    attention.kv_heads = counts.kv_groups;
    attention.heads = counts.kv_groups * per_group;
    attention.q.out = attention.o.in = attention.heads * attention.head_dim;
    attention.k.out = attention.v.out = attention.kv_heads * attention.head_dim;
    block.mlp.width = block.mlp.up.out = block.mlp.down.in = counts.ffn;
    if (block.mlp.gated()) block.mlp.gate.out = counts.ffn;
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
