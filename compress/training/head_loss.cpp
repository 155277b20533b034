#include "compress/training/head_loss.h"

#include <algorithm>

#include "compress/model/typed.h"

namespace attar {
namespace {

constexpr int64_t kLogitsAtOnce = 1 << 22;  // elements: 8 MB in bfloat16, a cache's size

int64_t rows_at_once(int64_t vocab) {
  return std::max<int64_t>(64, kLogitsAtOnce / vocab);
}

/// Replaces the logits of one row by their gradient, when there is one.
void one_row(const at::Tensor& logits, const at::Tensor& teacher, int64_t row, int64_t label,
             const RowLoss& loss, float scale, bool gradient, double* values) {
  const int64_t vocab = logits.size(1);
  thread_local std::vector<float> student_row, teacher_row, grad_row;
  const auto size = static_cast<size_t>(vocab);
  student_row.resize(size);
  LossInput input{vocab, label, student_row.data(), nullptr};
  with_type(logits.scalar_type(), [&]<class T>(T) {
    kernel::widen(data<T>(logits) + row * vocab, student_row.data(), vocab);
  });
  if (teacher.defined()) {
    teacher_row.resize(size);
    with_type(teacher.scalar_type(), [&]<class T>(T) {
      kernel::widen(data<T>(teacher) + row * vocab, teacher_row.data(), vocab);
    });
    input.teacher = teacher_row.data();
  }
  if (gradient) grad_row.assign(size, 0.0f);
  loss.row(input, scale, gradient ? grad_row.data() : nullptr, values);
  if (gradient)
    with_type(logits.scalar_type(), [&]<class T>(T) {
      kernel::narrow(grad_row.data(), data<T>(logits) + row * vocab, vocab);
    });
}

}  // namespace

HeadLoss head_loss(const LinearGroup& head, const at::Tensor& hidden, const LinearGroup* teacher,
                   const at::Tensor& teacher_hidden, const at::Tensor& labels, const RowLoss& loss,
                   double scale, bool gradient) {
  const at::NoGradGuard no_grad;
  const int64_t rows = hidden.size(0), step = rows_at_once(head.out());
  const size_t parts = loss.parts().size();
  std::vector<double> values(static_cast<size_t>(rows) * parts);
  const int64_t* label = labels.data_ptr<int64_t>();
  HeadLoss result;
  if (gradient) result.gradient = at::empty_like(hidden);
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor x = hidden.narrow(0, begin, count);
    const at::Tensor logits = head.product(x);
    const at::Tensor target =
        teacher ? teacher->product(teacher_hidden.narrow(0, begin, count)) : at::Tensor();
    at::parallel_for(0, count, 8, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        one_row(logits, target, row, label[begin + row], loss, static_cast<float>(scale), gradient,
                values.data() + static_cast<size_t>(begin + row) * parts);
    });
    if (gradient) result.gradient.narrow(0, begin, count).copy_(head.product_backward(x, logits));
  }
  result.parts.assign(parts, 0.0);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row)
    for (size_t part = 0; part < parts; ++part) result.parts[part] += values[row * parts + part];
  return result;
}

}  // namespace attar
