// One function a file of this folder; the table is table.cpp.
#pragma once

#include "eval/tasks/task.h"

namespace attar::eval {

TaskShape arc_shape();
TaskShape hellaswag_shape();
TaskShape piqa_shape();
TaskShape mmlu_shape();
TaskShape bigbench_shape();
TaskShape options_shape();
TaskShape lambada_shape();
TaskShape gsm8k_shape();

}  // namespace attar::eval
