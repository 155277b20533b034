#include "distill/kept_teacher.h"

#include <vector>

#include "compress/distributions/keep.h"
#include "compress/pipeline/cache.h"
#include "compress/training/loop.h"

namespace attar::distill {
std::unique_ptr<DistributionStore> keep_teacher(StageContext& context,
                                                const DistillOptions& options,
                                                const OpenedModel& teacher,
                                                const TokenWindows& windows) {
  const fs::path& path = teacher.model.path;
  // Losses at temperature 1 need no softened rest: they share the usual store.
  const double temperature =
      options.temperature == 1 ? DistributionStore::kTemperature : options.temperature;
  auto store = std::make_unique<DistributionStore>(
      context.distributions,
      DistributionKey{FileHashes({}).of(model_files(path), path), teacher.model.spec.vocab,
                      *options.teacher_top_k, temperature});
  std::vector<PredictedIds> sequences;
  for (const int64_t w : training_examples(options.training, windows.count(), context.seed))
    sequences.push_back({windows.at(w)});
  const KeptCounts counts = keep_distributions(
      *store, sequences, [&] { return RuntimeModel::load(teacher.model); },
      context.spec.name + ": distributions of '" + options.teacher + "'");
  context.report.facts["teacher"] = {{"kept", "once, before training, in float32"},
                                     {"top_k", store->key().k},
                                     {"coverage", store->mean_coverage(sequences)},
                                     {"windows_computed", counts.computed},
                                     {"windows_found", counts.found},
                                     {"bytes", store->bytes()}};
  return store;
}

}  // namespace attar::distill
