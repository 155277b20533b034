// Linear layers that read the same input (q, k, v; gate, up), computed as one matrix product, each
// with an optional low-rank adapter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/model/nf4.h"
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

/// The members' weights as one matrix. Trained ones have float32 masters in a store, from which
/// refresh() makes what the products use. Frozen ones are held in the products' type alone, or in
/// NF4 and widened for each product.
class LinearGroup {
 public:
  struct Member {
    const LinearSpec* spec;
    int64_t first_row;
  };

  /// `weights` and `biases` are the first of the members' entries, declared in order; biases −1:
  /// none, weights −1: frozen, given by hold().
  LinearGroup(std::vector<const LinearSpec*> linears, const ParameterStore& store, int64_t weights,
              int64_t biases);

  const std::vector<Member>& members() const { return members_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

  /// A frozen member's weight [out, in], rounded to `dtype` or to NF4.
  void hold(size_t member, std::span<const float> weight, at::ScalarType dtype, bool nf4);
  /// To be called after masters, biases or adapters changed.
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
  void refresh_adapters(at::ScalarType dtype);
  void add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) const;

  std::vector<Member> members_;
  int64_t in_ = 0, out_ = 0;
  at::Tensor weight_, weight_gradient_, bias_, bias_gradient_;
  std::vector<LowRank> adapters_;
  at::Tensor packed_, packed_bias_, packed_a_;
  at::ScalarType dtype_ = at::kFloat;
  std::vector<Nf4Matrix> nf4_;  // of each member, when held so
  at::Tensor packed_b_;         // then the adapters' columns alone, [out, Σ rank]
};

/// sum [n] (float32) += x [n] (any float type), in place.
void accumulate(const at::Tensor& sum, const at::Tensor& x);

}  // namespace attar
