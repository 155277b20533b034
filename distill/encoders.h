// Stages `train` and `distill` for encoders: classifiers on labelled texts, embedders on pairs of
// texts, both on a teacher's outputs.
#pragma once

#include "compress/pipeline/stage.h"
#include "compress/training/setup.h"
#include "distill/options.h"

namespace attar::distill {

/// A classifier by cross-entropy with its labels, an embedder by in-batch negatives.
void train_encoder(StageContext& context, const TrainOptions& options, OpenedModel opened);

/// Towards the teacher's logits or vectors. Each of the two reads the texts with its own tokenizer;
/// they may differ in family and size, not in labels (or in the width of their vectors).
void distill_encoder(StageContext& context, DistillOptions options, const OpenedModel& student);

}  // namespace attar::distill
