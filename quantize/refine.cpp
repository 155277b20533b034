#include "quantize/refine.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "compress/base/threads.h"
#include "quantize/lanes.h"
#include "quantize/scales.h"

namespace attar {
namespace {

/// Sixteen rows; everything as [column or group, kLanes].
struct Tile {
  std::vector<float> codes;                    // code − zero
  std::vector<float> residual;                 // w − q
  std::vector<float> gradient;                 // (w − q) H
  std::vector<float> scales, lowest, highest;  // [groups]; bounds of code − zero
  std::vector<float> pull;                     // [cols] Σ over a group of (code − zero) H
  int64_t changed = 0;
};

/// gradient += Σ over columns [first, last) of step_j h_j, for steps [last − first, kLanes].
ATTAR_CLONES void add_products(const float* steps, const float* h, int64_t n, int64_t first,
                               int64_t last, float* to) {
  constexpr int64_t kCols = 8;
  for (int64_t k = 0; k < n; k += kCols) {
    const int64_t width = std::min(kCols, n - k);
    Lanes sum[kCols];
    for (int64_t c = 0; c < kCols; ++c) load(sum[c], to + (k + std::min(c, width - 1)) * kLanes);
    for (int64_t j = first; j < last; ++j) {
      Lanes step;
      load(step, steps + (j - first) * kLanes);
      for (int64_t c = 0; c < kCols; ++c) sum[c] += step * h[j * n + k + std::min(c, width - 1)];
    }
    for (int64_t c = 0; c < width; ++c) store(to + (k + c) * kLanes, sum[c]);
  }
}

/// Moves the scale of one group to its optimum given everything else.
ATTAR_CLONES void move_scale(Tile& tile, const float* h, int64_t n, int64_t group, int64_t first,
                             int64_t last, DType dtype) {
  std::fill(tile.pull.begin(), tile.pull.end(), 0.0f);
  add_products(tile.codes.data() + first * kLanes, h, n, first, last, tile.pull.data());
  Lanes along{}, curvature{};
  for (int64_t j = first; j < last; ++j) {
    Lanes code, gradient, pull;
    load(code, tile.codes.data() + j * kLanes);
    load(gradient, tile.gradient.data() + j * kLanes);
    load(pull, tile.pull.data() + j * kLanes);
    along += gradient * code;
    curvature += pull * code;
  }
  Lanes step{};
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    if (!(curvature[lane] > 0)) continue;
    float& scale = tile.scales[static_cast<size_t>(group * kLanes + lane)];
    const float moved = storable_scale(scale + along[lane] / curvature[lane], dtype);
    const float delta = moved - scale;
    if (!std::isfinite(moved) || !(delta * (2 * along[lane] - delta * curvature[lane]) > 0))
      continue;
    step[lane] = delta;
    scale = moved;
  }
  for (int64_t k = 0; k < n; ++k) {
    Lanes gradient, pull;
    load(gradient, tile.gradient.data() + k * kLanes);
    load(pull, tile.pull.data() + k * kLanes);
    gradient -= step * pull;
    store(tile.gradient.data() + k * kLanes, gradient);
  }
}

/// Moves each code of columns [first, last) to its optimum given everything else.
ATTAR_CLONES void move_codes(Tile& tile, const float* h, int64_t n, int64_t group, int64_t first,
                             int64_t last) {
  Lanes scale, lowest, highest;
  load(scale, tile.scales.data() + group * kLanes);
  load(lowest, tile.lowest.data() + group * kLanes);
  load(highest, tile.highest.data() + group * kLanes);
  const Lanes zero{};
  for (int64_t j = first; j < last; ++j) {
    Lanes code, gradient;
    load(code, tile.codes.data() + j * kLanes);
    load(gradient, tile.gradient.data() + j * kLanes);
    Lanes best = code * scale + gradient / h[j * n + j];
    to_code(best, scale, zero, lowest, highest);
    const Lanes step = (best - code) * scale;
    int64_t moved = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) moved += best[lane] != code[lane];
    if (moved == 0) continue;
    tile.changed += moved;
    store(tile.codes.data() + j * kLanes, best);
    for (int64_t k = 0; k < n; ++k) {
      Lanes other;
      load(other, tile.gradient.data() + k * kLanes);
      other -= step * h[j * n + k];
      store(tile.gradient.data() + k * kLanes, other);
    }
  }
}

/// h with damping · mean diagonal on its diagonal; columns without input get the mean.
std::vector<float> damped(std::span<const float> h, int64_t n, double damping) {
  double mean = 0;
  int64_t alive = 0;
  for (int64_t j = 0; j < n; ++j) {
    mean += static_cast<double>(h[static_cast<size_t>(j * n + j)]);
    alive += h[static_cast<size_t>(j * n + j)] > 0;
  }
  mean /= static_cast<double>(std::max<int64_t>(1, alive));
  std::vector<float> result(h.begin(), h.end());
  for (int64_t j = 0; j < n; ++j) {
    float& diagonal = result[static_cast<size_t>(j * n + j)];
    diagonal =
        (diagonal > 0 ? diagonal : static_cast<float>(mean)) + static_cast<float>(damping * mean);
  }
  return result;
}

class Refiner {
 public:
  Refiner(std::span<const float> w, std::span<const float> h, QuantizedMatrix& q,
          const RefineOptions& options)
      : w_(w), h_(damped(h, q.cols, options.damping)), q_(q), options_(options) {}

  int64_t run_tile(int64_t first_row) {
    const int64_t n = q_.cols, groups = q_.groups();
    Tile tile = open(first_row);
    add_products(tile.residual.data(), h_.data(), n, 0, n, tile.gradient.data());
    int64_t changed = 0;
    for (int sweep = 0; sweep < options_.sweeps; ++sweep) {
      tile.changed = 0;
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * q_.group(), last = std::min(n, first + q_.group());
        move_scale(tile, h_.data(), n, g, first, last, q_.layout.scale_dtype);
        move_codes(tile, h_.data(), n, g, first, last);
      }
      changed += tile.changed;
      if (tile.changed == 0) break;
    }
    close(tile, first_row);
    return changed;
  }

 private:
  Tile open(int64_t first_row) const {
    const int64_t n = q_.cols, groups = q_.groups();
    Tile tile;
    const auto size = static_cast<size_t>(n * kLanes);
    for (auto* field : {&tile.codes, &tile.residual, &tile.gradient, &tile.pull})
      field->assign(size, 0.0f);
    const auto pairs = static_cast<size_t>(groups * kLanes);
    tile.scales.assign(pairs, 1.0f);
    tile.lowest.assign(pairs, 0.0f);  // rows beyond the last keep code 0
    tile.highest.assign(pairs, 0.0f);
    const int top = (1 << q_.layout.bits) - 1;
    for (int64_t lane = 0; lane < std::min(kLanes, q_.rows - first_row); ++lane) {
      const int64_t row = first_row + lane;
      for (int64_t g = 0; g < groups; ++g) {
        const auto pair = static_cast<size_t>(g * kLanes + lane);
        const int zero = q_.zero(row, g);
        tile.scales[pair] = q_.scales[static_cast<size_t>(row * groups + g)];
        tile.lowest[pair] = static_cast<float>(-zero);
        tile.highest[pair] = static_cast<float>(top - zero);
      }
      for (int64_t j = 0; j < n; ++j) {
        const auto at = static_cast<size_t>(j * kLanes + lane),
                   from = static_cast<size_t>(row * n + j);
        const int64_t g = j / q_.group();
        tile.codes[at] = static_cast<float>(static_cast<int>(q_.codes[from]) - q_.zero(row, g));
        tile.residual[at] =
            w_[from] - tile.codes[at] * tile.scales[static_cast<size_t>(g * kLanes + lane)];
      }
    }
    return tile;
  }

  void close(const Tile& tile, int64_t first_row) {
    const int64_t n = q_.cols, groups = q_.groups();
    for (int64_t lane = 0; lane < std::min(kLanes, q_.rows - first_row); ++lane) {
      const int64_t row = first_row + lane;
      for (int64_t g = 0; g < groups; ++g)
        q_.scales[static_cast<size_t>(row * groups + g)] =
            tile.scales[static_cast<size_t>(g * kLanes + lane)];
      for (int64_t j = 0; j < n; ++j)
        q_.codes[static_cast<size_t>(row * n + j)] = static_cast<uint8_t>(
            static_cast<int>(tile.codes[static_cast<size_t>(j * kLanes + lane)]) +
            q_.zero(row, j / q_.group()));
    }
  }

  std::span<const float> w_;
  std::vector<float> h_;
  QuantizedMatrix& q_;
  const RefineOptions& options_;
};

}  // namespace

int64_t refine(std::span<const float> w, std::span<const float> h, QuantizedMatrix& q,
               const RefineOptions& options) {
  assert(static_cast<int64_t>(w.size()) == q.rows * q.cols);
  assert(static_cast<int64_t>(h.size()) == q.cols * q.cols);
  Refiner refiner(w, h, q, options);
  const int64_t tiles = (q.rows + kLanes - 1) / kLanes;
  std::vector<int64_t> changed(static_cast<size_t>(tiles));
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile)
      changed[static_cast<size_t>(tile)] = refiner.run_tile(tile * kLanes);
  });
  int64_t total = 0;
  for (const int64_t count : changed) total += count;
  return total;
}

}  // namespace attar
