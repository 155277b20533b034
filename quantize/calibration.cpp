#include "quantize/calibration.h"

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/kernels/gram.h"

namespace attar {
namespace {

/// [x, exact − x] row by row.
std::vector<float> with_errors(const float* x, const std::vector<float>& exact, int64_t rows,
                               int64_t cols) {
  std::vector<float> z(static_cast<size_t>(2 * rows * cols));
  parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* to = z.data() + 2 * row * cols;
      for (int64_t c = 0; c < cols; ++c) {
        to[c] = x[row * cols + c];
        to[cols + c] = exact[static_cast<size_t>(row * cols + c)] - to[c];
      }
    }
  });
  return z;
}

void require_finite_moments(const std::string& module, const InputMoments& moments) {
  for (int64_t j = 0; j < moments.width(); ++j)
    if (!std::isfinite(moments.gram[static_cast<size_t>(j * moments.width() + j)]))
      throw failure("the calibration inputs of " + module + " are not finite",
                    "channel " + std::to_string(j % moments.size),
                    "the model overflows on this data; look at its activations and its float type");
}

}  // namespace

void InputMoments::add(const float* z, int64_t rows) {
  gram.resize(static_cast<size_t>(width() * width()));
  accumulate_gram(z, rows, width(), gram.data());
  tokens += rows;
}

std::vector<float> InputMoments::hessian() const {
  std::vector<float> h(static_cast<size_t>(size * size));
  const double factor = 2.0 / static_cast<double>(tokens);
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      h[static_cast<size_t>(i * size + j)] =
          static_cast<float>(gram[static_cast<size_t>(i * width() + j)] * factor);
  return h;
}

std::vector<float> InputMoments::error_cross() const {
  std::vector<float> cross(static_cast<size_t>(size * size));
  const double factor = 2.0 / static_cast<double>(tokens);
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      cross[static_cast<size_t>(i * size + j)] =
          static_cast<float>(gram[static_cast<size_t>((size + i) * width() + j)] * factor);
  return cross;
}

std::map<std::string, std::string> input_leaders(const BlockSpec& block) {
  std::map<std::string, std::string> leaders;
  const AttentionSpec& attention = block.attention;
  for (const LinearSpec* linear : {&attention.q, &attention.k, &attention.v})
    leaders[linear->module()] = attention.q.module();
  leaders[attention.o.module()] = attention.o.module();
  const LinearSpec& first = block.mlp.gated() ? block.mlp.gate : block.mlp.up;
  leaders[first.module()] = leaders[block.mlp.up.module()] = first.module();
  leaders[block.mlp.down.module()] = block.mlp.down.module();
  return leaders;
}

std::map<std::string, InputMoments> collect_moments(const HiddenStream& stream, const Block& block,
                                                    int64_t index,
                                                    const std::set<std::string>& leaders,
                                                    const ExactPath& exact) {
  std::map<std::string, InputMoments> moments;
  std::map<std::string, std::vector<float>> exact_inputs;
  const auto keep_exact = [&](const LinearSpec& linear, const float* x, int64_t rows) {
    if (leaders.contains(linear.module()))
      exact_inputs[linear.module()].assign(x, x + rows * linear.in);
  };
  const auto gather = [&](const LinearSpec& linear, const float* x, int64_t rows) {
    const std::string module = linear.module();
    if (!leaders.contains(module)) return;
    InputMoments& mine = moments[module];
    mine.size = linear.in;
    mine.with_error = exact.stream != nullptr;
    if (mine.with_error)
      mine.add(with_errors(x, exact_inputs.at(module), rows, linear.in).data(), rows);
    else
      mine.add(x, rows);
  };
  for (int64_t window = 0; window < stream.windows(); ++window) {
    if (exact.stream != nullptr) exact.stream->watch(*exact.block, index, window, keep_exact);
    stream.watch(block, index, window, gather);
  }
  for (const auto& [module, mine] : moments) require_finite_moments(module, mine);
  return moments;
}

}  // namespace attar
