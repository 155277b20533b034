#include <array>

#include "distill/losses.h"

namespace attar::distill {

std::span<const LossInfo> losses() {
  static const std::array table = {kl_loss(), reverse_kl_loss(), jsd_loss(),       skew_kl_loss(),
                                   tv_loss(), ce_loss(),         logit_mse_loss(), cosine_loss()};
  return table;
}

}  // namespace attar::distill
