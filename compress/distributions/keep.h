// Fills a store by running the model, without LibTorch.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compress/distributions/store.h"
#include "compress/runtime/model.h"

namespace attar {

struct KeptCounts {
  int64_t computed = 0, found = 0;  // sequences
};

/// Makes the store hold every sequence, each predicted from its first id on (`first` 0). `load` is
/// called when one is missing. Segments are written on the way, so that an interruption loses
/// little. Throws failure naming the sequence when a logit is not finite, Error(interrupted). The
/// values do not depend on the number of threads.
KeptCounts keep_distributions(DistributionStore& store, const std::vector<PredictedIds>& sequences,
                              const std::function<std::shared_ptr<const RuntimeModel>()>& load,
                              const std::string& label);

}  // namespace attar
