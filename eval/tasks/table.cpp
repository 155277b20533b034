// The table of task shapes, in the order in which they are tried on a file.
#include <array>

#include "eval/tasks/shapes.h"

namespace attar::eval {

std::span<const TaskShape> task_shapes() {
  static const std::array shapes = {
      bigbench_shape(), arc_shape(),   hellaswag_shape(), piqa_shape(),
      mmlu_shape(),     gsm8k_shape(), options_shape(),   lambada_shape(),
  };
  return shapes;
}

}  // namespace attar::eval
