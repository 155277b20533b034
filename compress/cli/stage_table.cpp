// The table of stage types: what the areas offer, in one place.
#include <algorithm>
#include <array>

#include "compress/cli/command.h"
#include "compress/cli/training.h"
#include "distill/stage.h"
#include "eval/evaluate.h"
#include "export/stage.h"
#include "lora/stage.h"
#include "prune/stage.h"
#include "quantize/stage.h"

namespace attar::cli {
namespace {

/// A stage that trains gets its work from LibTorch's side, in the program that has it.
StageType trained(StageType type, void (*TrainingBackend::*work)(StageContext&)) {
  if (const auto* backend = training_backend()) type.run = backend->*work;
  return type;
}

}  // namespace

const Toolbox& toolbox() {
  static const std::array stages = {
      trained(train_stage(), &TrainingBackend::train),
      trained(distill_stage(), &TrainingBackend::distill),
      trained(lora_stage(), &TrainingBackend::lora),
      merge_stage(),
      prune_stage(),
      quantize_stage(),
      export_stage(),
  };
  static const Toolbox tools = [] {
    Toolbox box;
    box.stages = stages;
    const auto add = [&](std::string_view name) {
      if (std::find(box.metrics.begin(), box.metrics.end(), name) == box.metrics.end())
        box.metrics.emplace_back(name);
    };
    for (const auto& metric : eval::metrics()) {
      add(metric.name);
      for (const auto& row : metric.rows) add(row);
    }
    box.evaluate = eval::evaluate;
    return box;
  }();
  return tools;
}

}  // namespace attar::cli
