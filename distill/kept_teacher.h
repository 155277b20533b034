// A teacher that is run once, before training, of which a part of its distributions is kept.
#pragma once

#include <memory>

#include "compress/data/dataset.h"
#include "compress/distributions/store.h"
#include "compress/pipeline/stage.h"
#include "compress/training/setup.h"
#include "distill/options.h"

namespace attar::distill {

/// The store with the teacher's distributions over every window that training will see. The teacher
/// is in memory only meanwhile. Adds a row to the report.
std::unique_ptr<DistributionStore> keep_teacher(StageContext& context,
                                                const DistillOptions& options,
                                                const OpenedModel& teacher,
                                                const TokenWindows& windows);

}  // namespace attar::distill
