#include "export/importance.h"

#include <algorithm>

#include "compress/architecture/storage.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/runtime/hidden_stream.h"

namespace attar::gguf_export {
namespace {

/// Σ x² a column, in index order.
void add_squares(const float* x, int64_t rows, int64_t cols, std::vector<double>& sums) {
  sums.resize(static_cast<size_t>(cols));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t col = 0; col < cols; ++col) {
      const auto value = static_cast<double>(x[row * cols + col]);
      sums[static_cast<size_t>(col)] += value * value;
    }
}

std::vector<float> mean_of(const std::vector<double>& sums, int64_t tokens) {
  std::vector<float> mean;
  for (const double sum : sums)
    mean.push_back(static_cast<float>(sum / static_cast<double>(tokens)));
  return mean;
}

}  // namespace

Importance measure_importance(const Model& model, const TokenWindows& windows) {
  const ModelSpec& spec = model.spec;
  const Storage storage(spec);
  HiddenStream stream(spec, *model.weights, windows.ids, windows.window);
  const int64_t tokens = stream.windows() * windows.window;
  Importance importance;
  Progress progress("importance", static_cast<int64_t>(spec.blocks.size()), "blocks");
  for (int64_t block = 0; block < static_cast<int64_t>(spec.blocks.size()); ++block) {
    const Block loaded(spec, block, *model.weights);
    std::map<std::string, std::vector<double>> sums;
    for (int64_t window = 0; window < stream.windows(); ++window) {
      check_interrupted();
      stream.pass_window(loaded, block, window,
                         [&](const LinearSpec& linear, const float* x, int64_t rows) {
                           add_squares(x, rows, linear.in, sums[linear.weight]);
                         });
    }
    // Parts of one stored matrix read the same input.
    for (const auto& [tensor, squares] : sums)
      importance[storage.stored_name(tensor)] = mean_of(squares, tokens);
    progress.update(block + 1);
  }
  const OutputHead head(spec, *model.weights);
  std::vector<double> squares;
  for (int64_t window = 0; window < stream.windows(); ++window)
    add_squares(head.normalized(stream.window(window), windows.window).data(), windows.window,
                spec.hidden, squares);
  importance[storage.stored_name(spec.head.weight)] = mean_of(squares, tokens);
  return importance;
}

}  // namespace attar::gguf_export
