// 1 − mean cosine between a block's input and output (ShortGPT, arXiv 2403.03853, section 3.1).
#include "prune/criteria.h"

namespace attar {

Criterion block_influence_criterion() {
  const auto score = [](const BlockStatistics& statistics) {
    return 1.0 - statistics.cosines / static_cast<double>(statistics.rows);
  };
  return {"block_influence", "1 - cosine between what enters and what leaves a layer", true,
          nullptr, score};
}

}  // namespace attar
