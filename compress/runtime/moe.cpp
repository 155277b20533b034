#include "compress/runtime/moe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

constexpr float kNowhere = -std::numeric_limits<float>::infinity();

}  // namespace

std::vector<Route> choose_experts(const float* logits, int64_t experts, int64_t top_k,
                                  bool renormalize) {
  std::vector<float> shares(static_cast<size_t>((experts + kPanel - 1) / kPanel * kPanel),
                            kNowhere);
  std::copy_n(logits, experts, shares.begin());
  float total = kernels().softmax(shares.data(), static_cast<int64_t>(shares.size()));
  float zero = 0;  // 0 · x is 0 for finite x and NaN otherwise
  for (int64_t e = 0; e < experts; ++e) zero += 0 * logits[e];
  total += zero;

  std::vector<int64_t> order(static_cast<size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  const auto rank = [&](int64_t e) { return std::isnan(logits[e]) ? kNowhere : logits[e]; };
  std::partial_sort(order.begin(), order.begin() + top_k, order.end(), [&](int64_t a, int64_t b) {
    return rank(a) != rank(b) ? rank(a) > rank(b) : a < b;
  });
  std::sort(order.begin(), order.begin() + top_k);

  std::vector<Route> routes;
  float chosen = zero;
  for (int64_t i = 0; i < top_k; ++i) {
    const int64_t expert = order[static_cast<size_t>(i)];
    routes.push_back({expert, shares[static_cast<size_t>(expert)]});
    chosen += routes.back().weight;
  }
  for (Route& route : routes) route.weight /= renormalize ? chosen : total;
  return routes;
}

/// Rows by expert: those of expert e stand in slots [begin[e], begin[e + 1]).
struct Moe::Routing {
  std::vector<int64_t> begin;  // [experts + 1]
  std::vector<int64_t> rows;   // [slots]: which row
  std::vector<int64_t> slots;  // [rows, top_k]: a row's slots in ascending order of experts
  std::vector<float> weights;  // [rows, top_k]
};

Moe::Moe(const MoeSpec& spec, const LinearLoader& load) : spec_(spec), router_(load(spec.router)) {
  for (const MlpSpec& expert : spec.experts) experts_.emplace_back(expert, load);
  if (spec.shared.width == 0) return;
  shared_ = Mlp(spec.shared, load);
  if (!spec.shared_gate.weight.empty()) shared_gate_ = load(spec.shared_gate);
}

uint64_t Moe::bytes() const {
  uint64_t total = router_.bytes();
  for (const Mlp& expert : experts_) total += expert.bytes();
  if (spec_.shared.width > 0) total += shared_.bytes();
  if (!spec_.shared_gate.weight.empty()) total += shared_gate_.bytes();
  return total;
}

uint64_t Moe::step_bytes() const {
  uint64_t experts = 0;
  for (const Mlp& expert : experts_) experts += expert.bytes();
  const auto chosen = static_cast<uint64_t>(spec_.top_k);
  return bytes() - experts + experts * chosen / std::max<uint64_t>(1, experts_.size());
}

Moe::Routing Moe::route(const float* x, int64_t rows, Activations activations,
                        const LinearObserver& observer) const {
  const auto experts = static_cast<int64_t>(experts_.size()), top = spec_.top_k;
  const Buffer logits = buffer(rows, experts);
  multiply(x, rows, {{router_, logits.get()}}, activations, observer);
  std::vector<Route> routes(static_cast<size_t>(rows * top));
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      std::ranges::copy(
          choose_experts(logits.get() + row * experts, experts, top, spec_.renormalize),
          routes.begin() + row * top);
  });

  Routing routing;
  routing.begin.resize(static_cast<size_t>(experts + 1));
  for (const Route& route : routes) ++routing.begin[static_cast<size_t>(route.expert) + 1];
  std::partial_sum(routing.begin.begin(), routing.begin.end(), routing.begin.begin());
  std::vector<int64_t> next(routing.begin.begin(), routing.begin.end() - 1);
  routing.rows.resize(routes.size());
  for (size_t i = 0; i < routes.size(); ++i) {
    const int64_t slot = next[static_cast<size_t>(routes[i].expert)]++;
    routing.rows[static_cast<size_t>(slot)] = static_cast<int64_t>(i) / top;
    routing.slots.push_back(slot);
    routing.weights.push_back(routes[i].weight);
  }
  return routing;
}

/// results [slots, hidden]: every expert on its rows.
void Moe::run_experts(const float* x, const Routing& routing, float* results,
                      Activations activations, const LinearObserver& observer) const {
  const int64_t hidden = spec_.router.in;
  std::vector<int64_t> busy;
  for (size_t e = 0; e < experts_.size(); ++e)
    if (routing.begin[e] < routing.begin[e + 1]) busy.push_back(static_cast<int64_t>(e));
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto expert = static_cast<size_t>(busy[static_cast<size_t>(i)]);
      const int64_t first = routing.begin[expert], count = routing.begin[expert + 1] - first;
      const Buffer gathered = buffer(count, hidden);
      for (int64_t slot = 0; slot < count; ++slot)
        std::copy_n(x + routing.rows[static_cast<size_t>(first + slot)] * hidden, hidden,
                    gathered.get() + slot * hidden);
      experts_[expert].forward(gathered.get(), count, results + first * hidden, activations,
                               observer);
    }
  };
  // An expert a thread where there are enough, without forking inside; else one after another, each
  // on all threads. Observers see one expert at a time.
  const auto count = static_cast<int64_t>(busy.size());
  if (!observer && count >= thread_count())
    parallel_for(count, 1, run);
  else
    run(0, count);
}

void Moe::add_shared(const float* x, int64_t rows, float* y, Activations activations,
                     const LinearObserver& observer) const {
  const int64_t hidden = spec_.router.in;
  const Buffer own = buffer(rows, hidden);
  std::vector<float> gates(static_cast<size_t>(rows), 1.0f);
  if (!spec_.shared_gate.weight.empty()) {
    multiply(x, rows, {{shared_gate_, gates.data()}}, activations, observer);
    for (float& gate : gates)
      gate = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(gate))));
  }
  shared_.forward(x, rows, own.get(), activations, observer);
  for (int64_t row = 0; row < rows; ++row)
    kernels().axpy(gates[static_cast<size_t>(row)], own.get() + row * hidden, y + row * hidden,
                   hidden);
}

void Moe::forward(const float* x, int64_t rows, float* y, Activations activations,
                  const LinearObserver& observer) const {
  const int64_t hidden = spec_.router.in;
  const Routing routing = route(x, rows, activations, observer);
  const Buffer results = buffer(rows * spec_.top_k, hidden);
  run_experts(x, routing, results.get(), activations, observer);
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* to = y + row * hidden;
      std::fill_n(to, hidden, 0.0f);
      for (int64_t i = row * spec_.top_k; i < (row + 1) * spec_.top_k; ++i)
        kernels().axpy(routing.weights[static_cast<size_t>(i)],
                       results.get() + routing.slots[static_cast<size_t>(i)] * hidden, to, hidden);
    }
  });
  if (spec_.shared.width > 0) add_shared(x, rows, y, activations, observer);
}

}  // namespace attar
