// What the stages `train` and `distill` do. Needs LibTorch (target attar_distill_training); this
// header does not.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

/// Trains by next-token cross-entropy, from scratch or from the input model; writes output/model.
void run_train(StageContext& context);
/// Trains the input model (the student) towards a teacher's distribution; writes output/model.
void run_distill(StageContext& context);

}  // namespace attar
