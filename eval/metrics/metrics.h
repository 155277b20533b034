// One function a file of this folder; the table is table.cpp.
#pragma once

#include "eval/metric.h"

namespace attar::eval {

Metric perplexity_metric();
Metric kl_metric();
Metric top1_metric();
Metric delta_p_metric();
Metric size_metric();
Metric parameters_metric();
Metric speed_metric();
Metric memory_metric();

}  // namespace attar::eval
