// Which parts of a model stay, and what that makes of it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "prune/options.h"

namespace attar {

/// Units of one dependency group that stay.
struct KeptUnits {
  DependencyGroup group;
  std::vector<int64_t> kept;  // ascending
};

struct PrunePlan {
  std::vector<int64_t> layers;    // of the source, that stay, ascending
  std::vector<KeptUnits> groups;  // groups of layers that stay and lose units
};

/// How many of each stay, from the options alone.
struct KeptCounts {
  std::map<int64_t, int64_t>
      ffn;                // neurons of an MLP, by its width: dense, expert's, shared expert's
  int64_t kv_groups = 0;  // 0: no layer has softmax attention
  int64_t layers = 0;
};
/// Throws bad_input: nothing or more than everything kept, options of the other method, heads that
/// are no whole groups, a model whose layers of one kind differ in widths, a count of neurons for
/// MLPs of several widths, fewer layers kept than protected. `where` is the stage's place.
KeptCounts kept_counts(const ModelSpec& spec, const PruneOptions& options,
                       const std::string& where);

/// config.json after pruning.
nlohmann::ordered_json pruned_config(const nlohmann::ordered_json& config, const ModelSpec& spec,
                                     const KeptCounts& counts, const std::vector<int64_t>& layers);

/// A tensor of the pruned model and where it comes from.
struct TensorSource {
  TensorSpec tensor;                   // in the pruned model
  std::string from;                    // name in the source
  std::vector<int64_t> rows, columns;  // that stay; empty = all
};
/// Every tensor of `pruned`, with its source in `spec`. Throws failure when the two don't fit.
std::vector<TensorSource> tensor_sources(const ModelSpec& spec, const ModelSpec& pruned,
                                         const PrunePlan& plan);

/// The bytes of the pruned tensor, in the source's element type.
std::vector<std::byte> slice(const TensorSource& source, const DenseTensor& dense);

}  // namespace attar
