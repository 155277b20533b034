// One function a file of this folder; the table is table.cpp.
#pragma once

#include "eval/metric.h"

namespace attar::eval {

Metric perplexity_metric();
Metric llama_cpp_metric();
Metric lm_eval_word_metric();
Metric lm_eval_byte_metric();
Metric kl_metric();
Metric top1_metric();
Metric delta_p_metric();
Metric distortion_metric();
Metric choices_metric();
Metric last_word_metric();
Metric exact_match_metric();
Metric generation_metric();
Metric accuracy_metric();
Metric f1_metric();
Metric confusion_metric();
Metric label_agreement_metric();
Metric class_kl_metric();
Metric recall_metric();
Metric spearman_metric();
Metric cosine_metric();
Metric size_metric();
Metric parameters_metric();
Metric speed_metric();
Metric memory_metric();

}  // namespace attar::eval
