// Mixture of experts (Shazeer et al. 2017; as Qwen's: softmax over all experts, then the largest).
//
// Rows are put in the order of their experts once, so that every expert is one product over the
// rows that chose it, and back once.
#include <algorithm>
#include <numeric>

#include "compress/model/layers.h"

namespace attar {
namespace ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct TakeRowsFunction : torch::autograd::Function<TakeRowsFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& from,
                            const at::Tensor& to) {
    ctx->save_for_backward({to});
    return x.index_select(0, from);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor to = ctx->get_saved_variables()[0];
    const at::Tensor rows = grads[0].index_select(0, to.reshape({-1}));
    if (to.size(1) == 1) return {rows, {}, {}};
    return {rows.view({to.size(0), to.size(1), -1}).sum(1), {}, {}};
  }
};

}  // namespace

at::Tensor take_rows(const at::Tensor& x, const at::Tensor& from, const at::Tensor& to) {
  return TakeRowsFunction::apply(x, from, to);
}

}  // namespace ops

namespace {

/// Which experts every row goes to, and where the rows stand in the experts' order.
struct Routing {
  at::Tensor chosen;     // int64 [rows, top_k], the experts from the largest
  at::Tensor row, slot;  // int64 [rows · top_k]: the row in a place; [rows, top_k]: its places
  std::vector<int64_t> counts;  // rows of each expert
};

Routing route(const at::Tensor& probabilities, int64_t top_k) {
  const int64_t rows = probabilities.size(0), experts = probabilities.size(1);
  Routing routing{at::empty({rows, top_k}, at::kLong), at::empty({rows * top_k}, at::kLong),
                  at::empty({rows, top_k}, at::kLong),
                  std::vector<int64_t>(static_cast<size_t>(experts), 0)};
  int64_t* chosen = routing.chosen.data_ptr<int64_t>();
  const float* p = probabilities.data_ptr<float>();
  std::vector<int64_t> order(static_cast<size_t>(experts));
  for (int64_t row = 0; row < rows; ++row, p += experts) {
    std::iota(order.begin(), order.end(), int64_t{0});
    std::partial_sort(order.begin(), order.begin() + top_k, order.end(),
                      [p](int64_t a, int64_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
    for (int64_t j = 0; j < top_k; ++j) {
      chosen[row * top_k + j] = order[static_cast<size_t>(j)];
      ++routing.counts[static_cast<size_t>(order[static_cast<size_t>(j)])];
    }
  }
  std::vector<int64_t> next(routing.counts.size(), 0);
  std::exclusive_scan(routing.counts.begin(), routing.counts.end(), next.begin(), int64_t{0});
  for (int64_t i = 0; i < rows * top_k; ++i) {
    const int64_t place = next[static_cast<size_t>(chosen[i])]++;
    routing.slot.data_ptr<int64_t>()[i] = place;
    routing.row.data_ptr<int64_t>()[place] = i / top_k;
  }
  return routing;
}

}  // namespace

void MoeLayer::declare(Declaration& declaration, const MoeSpec& from) {
  spec = &from;
  declaration.projection(router, {&from.router}, true);
  experts.resize(from.experts.size());
  for (size_t e = 0; e < experts.size(); ++e) experts[e].declare(declaration, from.experts[e]);
  if (from.shared.width) shared.emplace().declare(declaration, from.shared);
  if (!from.shared_gate.weight.empty())
    declaration.projection(shared_gate, {&from.shared_gate}, true);
}

at::Tensor MoeLayer::forward(const at::Tensor& y, const Pass& pass) const {
  const int64_t rows = y.size(0), width = y.size(1), top_k = spec->top_k;
  const at::Tensor probabilities =
      at::softmax(router.forward(y, pass, place::kRouter).to(at::kFloat), 1).contiguous();
  const Routing routing = route(probabilities, top_k);
  at::Tensor weights = probabilities.gather(1, routing.chosen);
  if (spec->renormalize) weights = weights / weights.sum(1, true);

  const at::Tensor sorted = ops::take_rows(y, routing.row, routing.slot);
  const auto inputs = at::split_with_sizes(sorted, routing.counts, 0);
  std::vector<at::Tensor> outputs;
  for (size_t e = 0; e < experts.size(); ++e)
    if (routing.counts[e])
      outputs.push_back(experts[e].forward(inputs[e], pass, place::kExperts + place::kMlpStep * e));
  // places[i] holds what row i / top_k gets from its choice i % top_k, and nothing else.
  const at::Tensor places = routing.slot.view({-1});
  const at::Tensor choice = at::empty_like(places).scatter_(0, places, at::arange(rows * top_k));
  const at::Tensor mixed = ops::take_rows(at::cat(outputs, 0), places, choice.view({-1, 1}));
  at::Tensor out = (mixed.view({rows, top_k, width}).to(at::kFloat) * weights.unsqueeze(2)).sum(1);
  if (shared) {
    at::Tensor part = shared->forward(y, pass, place::kShared).to(at::kFloat);
    if (!shared_gate.groups().empty())
      part = part * at::sigmoid(shared_gate.forward(y, pass, place::kSharedGate).to(at::kFloat));
    out = out + part;
  }
  return out.to(y.scalar_type());
}

}  // namespace attar
