// Mixture of experts on the kernels: each row goes through the experts that its router chooses.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/mlp.h"

namespace attar {

/// One expert that a row goes to.
struct Route {
  int64_t expert;
  float weight;
};

/// The top_k experts of one row by router logits [experts], of equal ones the first, in ascending
/// order of their index; weights from a softmax over all experts, divided by their sum if
/// `renormalize`. A logit that is not finite makes all
/// weights NaN.
std::vector<Route> choose_experts(const float* logits, int64_t experts, int64_t top_k,
                                  bool renormalize);

class Moe {
 public:
  Moe(const MoeSpec& spec, const LinearLoader& load);

  uint64_t bytes() const;
  uint64_t step_bytes() const;  // what one row reads, experts of middling size
  /// x [rows, hidden] -> y [rows, hidden], y is not x. Rows are grouped by expert; an expert that
  /// no row goes to is not computed, and its layers are not observed. A row's bytes depend neither
  /// on the rows beside it nor on the number of threads: its experts are summed in index order.
  void forward(const float* x, int64_t rows, float* y, Activations activations,
               const LinearObserver& observer) const;

  /// f(layer) for each linear layer.
  template <class F>
  void for_linears(F f) {
    f(router_);
    f(shared_gate_);
    for (Mlp& expert : experts_) expert.for_linears(f);
    shared_.for_linears(f);
  }

 private:
  struct Routing;
  Routing route(const float* x, int64_t rows, Activations activations,
                const LinearObserver& observer) const;
  void run_experts(const float* x, const Routing& routing, float* results, Activations activations,
                   const LinearObserver& observer) const;
  void add_shared(const float* x, int64_t rows, float* y, Activations activations,
                  const LinearObserver& observer) const;

  MoeSpec spec_;
  Linear router_, shared_gate_;
  std::vector<Mlp> experts_;
  Mlp shared_;
};

}  // namespace attar
