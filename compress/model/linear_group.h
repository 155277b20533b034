// Linear layers that read the same input (q, k, v; gate, up), computed as one matrix product, each
// with an optional low-rank adapter.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/model/parameters.h"
#include "compress/model/torch_compat.h"

namespace attar {

/// y = x Wᵀ + b + scale · (dropout(x) Aᵀ) Bᵀ for one member of a group (Hu et al.: LoRA, 2021).
struct LowRank {
  int64_t member = 0;  // of the group
  at::Tensor a, b;     // [rank, in], [out, rank]
  at::Tensor a_gradient, b_gradient;
  float scale = 1;
};

/// The members' weights as one matrix. Values are masters in float32; what the products use is
/// `packed`, renewed by refresh() after the masters changed.
class LinearGroup {
 public:
  struct Member {
    const LinearSpec* spec;
    int64_t first_row;
  };

  /// `weights` and `biases` are the first of the members' entries, declared in order; biases −1:
  /// none.
  LinearGroup(std::vector<const LinearSpec*> linears, const ParameterStore& store, int64_t weights,
              int64_t biases);

  const std::vector<Member>& members() const { return members_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

  /// Holds the frozen weights in `dtype` only: the float32 masters are not read again.
  void refresh(at::ScalarType dtype);
  void attach(LowRank adapter) { adapters_.push_back(std::move(adapter)); }
  const std::vector<LowRank>& adapters() const { return adapters_; }

  /// x [rows, in] -> [rows, out], in x's type, which is that of refresh(). `dropout` acts on the
  /// adapters' input; its mask follows from `seed`.
  at::Tensor forward(const at::Tensor& x, double dropout = 0, uint64_t seed = 0);

  /// Without a graph: x [rows, in] -> [rows, out].
  at::Tensor product(const at::Tensor& x) const;
  /// dy [rows, out], x [rows, in] -> adds the weights' gradient; returns dx. For members without
  /// adapters.
  at::Tensor product_backward(const at::Tensor& x, const at::Tensor& dy) const;

 private:
  friend struct GroupFunction;
  at::Tensor packed_weight() const;  // [out, in + Σ rank]
  void add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) const;

  std::vector<Member> members_;
  int64_t in_ = 0, out_ = 0;
  at::Tensor weight_, weight_gradient_, bias_, bias_gradient_;
  std::vector<LowRank> adapters_;
  at::Tensor packed_, packed_bias_, packed_a_;
};

/// sum [n] (float32) += x [n] (any float type), in place.
void accumulate(const at::Tensor& sum, const at::Tensor& x);

}  // namespace attar
