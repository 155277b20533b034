#include "compress/training/head_loss.h"

#include <algorithm>

#include "compress/model/typed.h"

namespace attar {
namespace {

constexpr int64_t kLogitsAtOnce = 1 << 22;  // elements: 8 MB in bfloat16, a cache's size

int64_t rows_at_once(int64_t vocab) {
  return std::max<int64_t>(64, kLogitsAtOnce / vocab);
}

/// One row of logits as the loss takes them: float32, capped where the model does that.
void widen_row(const at::Tensor& logits, int64_t row, float cap, std::vector<float>& to) {
  const int64_t vocab = logits.size(1);
  to.resize(static_cast<size_t>(vocab));
  with_type(logits.scalar_type(),
            [&]<class T>(T) { kernel::widen(data<T>(logits) + row * vocab, to.data(), vocab); });
  if (cap > 0) kernel::soft_cap(to.data(), vocab, cap);
}

/// The logits of some positions, before any cap.
struct Logits {
  at::Tensor values;  // [rows, vocab]; undefined: no such model
  float cap = 0;
};

/// Replaces the student's logits of one row by their gradient, when there is one. `kept` may be
/// null.
void one_row(const Logits& student, const Logits& teacher, const TopRow* kept, int64_t row,
             int64_t label, const RowLoss& loss, float scale, bool gradient, double* values) {
  const int64_t vocab = student.values.size(1);
  thread_local std::vector<float> student_row, teacher_row, grad_row;
  widen_row(student.values, row, student.cap, student_row);
  LossInput input{vocab, label, student_row.data(), nullptr, kept};
  if (teacher.values.defined()) {
    widen_row(teacher.values, row, teacher.cap, teacher_row);
    input.teacher = teacher_row.data();
  }
  if (gradient) grad_row.assign(static_cast<size_t>(vocab), 0.0f);
  loss.row(input, scale, gradient ? grad_row.data() : nullptr, values);
  if (!gradient) return;
  if (student.cap > 0)
    kernel::soft_cap_backward(student_row.data(), grad_row.data(), vocab, student.cap);
  with_type(student.values.scalar_type(), [&]<class T>(T) {
    kernel::narrow(grad_row.data(), data<T>(student.values) + row * vocab, vocab);
  });
}

}  // namespace

HeadLoss head_loss(const TrainableModel& model, const at::Tensor& hidden, const LossTarget& target,
                   const at::Tensor& labels, const RowLoss& loss, double scale, bool gradient) {
  const at::NoGradGuard no_grad;
  const LinearGroup& head = model.head();
  const int64_t rows = hidden.size(0), step = rows_at_once(head.out());
  const size_t parts = loss.parts().size();
  std::vector<double> values(static_cast<size_t>(rows) * parts);
  const int64_t* label = labels.data_ptr<int64_t>();
  HeadLoss result;
  if (gradient) result.gradient = at::empty_like(hidden);
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor x = hidden.narrow(0, begin, count);
    const Logits logits{head.product(x), model.spec().logit_softcap};
    const Logits teacher =
        target.model ? Logits{target.model->head().product(target.hidden.narrow(0, begin, count)),
                              target.model->spec().logit_softcap}
                     : Logits{};
    at::parallel_for(0, count, 8, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        one_row(logits, teacher,
                target.kept.empty() ? nullptr : &target.kept[static_cast<size_t>(begin + row)], row,
                label[begin + row], loss, static_cast<float>(scale), gradient,
                values.data() + static_cast<size_t>(begin + row) * parts);
    });
    if (gradient)
      result.gradient.narrow(0, begin, count).copy_(head.product_backward(x, logits.values));
  }
  result.parts.assign(parts, 0.0);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row)
    for (size_t part = 0; part < parts; ++part) result.parts[part] += values[row * parts + part];
  return result;
}

}  // namespace attar
