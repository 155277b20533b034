#include "compress/runtime/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

constexpr int64_t kStretch = 256;  // positions whose values are read at a time

/// Buffers of one thread.
struct Scratch {
  std::vector<float> queries;  // [head_dim, rows]
  std::vector<float> scores;   // [rows, keys]
  std::vector<float> weights;  // [keys, rows]
  std::vector<float> out;      // [rows, 32]
  std::vector<float> widened;  // of the cache, where it is not float32
};

/// Queries [first, first + count) (absolute positions) of the heads that share one key head.
/// A row is a query of one head: row = position · group + head in the group.
class Piece {
 public:
  Piece(const AttentionSpec& spec, const KvCache& cache, int64_t head, int64_t first, int64_t count)
      : spec_(spec),
        cache_(cache),
        head_(head),
        first_(first),
        group_(spec.heads / spec.kv_heads),
        rows_(count * group_),
        begin_(visible_from(first) / kPanel * kPanel),
        keys_((visible_to(first + count - 1) - begin_ + kPanel - 1) / kPanel * kPanel) {}

  /// queries and out: of position first, all heads.
  void run(const float* queries, float* out, Scratch& scratch) const {
    gather(queries, scratch);
    if (streams())
      score_one(scratch);
    else
      score(scratch);
    std::vector<float>& sums = scratch.queries;  // no longer needed
    weigh(scratch, sums);
    sum_values(scratch, sums, out);
  }

 private:
  /// One query, and numbers that would else be widened into a copy first.
  bool streams() const { return rows_ == 1 && cache_.format() != KvFormat::f32; }
  int64_t visible_from(int64_t position) const {
    return spec_.window == 0 ? 0 : std::max<int64_t>(0, position - spec_.window + 1);
  }
  int64_t visible_to(int64_t position) const {
    return spec_.causal ? position + 1 : cache_.length();
  }
  /// Where row r's dimensions lie, from the first position on.
  int64_t offset(int64_t r) const {
    return (r / group_ * spec_.heads + head_ * group_ + r % group_) * spec_.head_dim;
  }

  void gather(const float* queries, Scratch& scratch) const {
    scratch.queries.resize(static_cast<size_t>(std::max(spec_.head_dim, int64_t{1}) * rows_));
    for (int64_t r = 0; r < rows_; ++r) {
      const float* from = queries + offset(r);
      for (int64_t d = 0; d < spec_.head_dim; ++d)
        scratch.queries[static_cast<size_t>(d * rows_ + r)] = from[d] * spec_.scale;
    }
  }

  void score(Scratch& scratch) const {
    scratch.scores.resize(static_cast<size_t>(rows_ * keys_));
    scratch.widened.resize(static_cast<size_t>(std::max(spec_.head_dim, kStretch) * kPanel));
    for (int64_t key = 0; key < keys_; key += kPanel)
      kernels().tile(rows_, spec_.head_dim, scratch.queries.data(), rows_,
                     cache_.keys(head_, begin_ + key, scratch.widened.data()),
                     scratch.scores.data() + key, keys_, false);
  }

  /// The same sums for one query: panel after panel as they lie, so that each is fetched while the
  /// one before it is multiplied.
  void score_one(Scratch& scratch) const {
    scratch.scores.resize(static_cast<size_t>(keys_));
    const PackedView keys = cache_.key_panels(head_, begin_);
    for (int64_t panel = 0; panel < keys_ / kPanel; ++panel)
      kernels().gemv(keys, panel, 1, scratch.queries.data(),
                     scratch.scores.data() + panel * kPanel);
  }

  /// Softmax over the visible keys; weights not yet divided by their sum.
  void weigh(Scratch& scratch, std::vector<float>& sums) const {
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    scratch.weights.resize(static_cast<size_t>(rows_ * keys_));
    sums.resize(static_cast<size_t>(std::max(rows_, rows_ * spec_.head_dim)));
    for (int64_t r = 0; r < rows_; ++r) {
      float* row = scratch.scores.data() + r * keys_;
      const int64_t position = first_ + r / group_;
      if (spec_.softcap > 0)
        for (int64_t i = 0; i < keys_; ++i)
          row[i] = spec_.softcap * std::tanh(row[i] / spec_.softcap);
      std::fill(row, row + visible_from(position) - begin_, kHidden);
      std::fill(row + visible_to(position) - begin_, row + keys_, kHidden);
      sums[static_cast<size_t>(r)] = kernels().softmax(row, keys_);
    }
    if (const float* scales = cache_.value_scales(head_, begin_))
      for (int64_t r = 0; r < rows_; ++r)
        for (int64_t i = 0; i < keys_; ++i)
          scratch.scores[static_cast<size_t>(r * keys_ + i)] *= scales[i];
    constexpr int64_t kSquare = 16;
    for (int64_t key = 0; key < keys_; key += kSquare)
      for (int64_t r = 0; r < rows_; ++r)
        for (int64_t i = key; i < key + kSquare; ++i)
          scratch.weights[static_cast<size_t>(i * rows_ + r)] =
              scratch.scores[static_cast<size_t>(r * keys_ + i)];
  }

  /// 32 dimensions of the values, weighted: scratch.out [rows, 32].
  void sum_part(int64_t part, Scratch& scratch) const {
    if (streams())
      return kernels().gemv(cache_.value_panel(head_, part, begin_, keys_), 0, 1,
                            scratch.weights.data(), scratch.out.data());
    for (int64_t key = 0; key < keys_; key += kStretch) {
      const int64_t count = std::min(kStretch, keys_ - key);
      kernels().tile(rows_, count, scratch.weights.data() + key * rows_, rows_,
                     cache_.values(head_, part, begin_ + key, count, scratch.widened.data()),
                     scratch.out.data(), kPanel, key > 0);
    }
  }

  void sum_values(Scratch& scratch, const std::vector<float>& sums, float* out) const {
    scratch.out.resize(static_cast<size_t>(rows_ * kPanel));
    for (int64_t part = 0; part * kPanel < spec_.head_dim; ++part) {
      sum_part(part, scratch);
      const int64_t dims = std::min(kPanel, spec_.head_dim - part * kPanel);
      for (int64_t r = 0; r < rows_; ++r)
        for (int64_t d = 0; d < dims; ++d)
          out[offset(r) + part * kPanel + d] =
              scratch.out[static_cast<size_t>(r * kPanel + d)] / sums[static_cast<size_t>(r)];
    }
  }

  const AttentionSpec& spec_;
  const KvCache& cache_;
  int64_t head_, first_, group_, rows_, begin_, keys_;
};

}  // namespace

void attend(const AttentionSpec& spec, const KvCache& cache, const float* queries, int64_t count,
            float* out) {
  constexpr int64_t kRows = 24;  // two register tiles
  const int64_t group = spec.heads / spec.kv_heads, width = spec.heads * spec.head_dim;
  const int64_t step = std::max<int64_t>(1, kRows / group), steps = (count + step - 1) / step;
  const int64_t start = cache.length() - count;
  parallel_for(spec.kv_heads * steps, 1, [&](int64_t begin, int64_t end) {
    static thread_local Scratch scratch;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit % steps * step;
      Piece(spec, cache, unit / steps, start + first, std::min(step, count - first))
          .run(queries + first * width, out + first * width, scratch);
    }
  });
}

void attend_each(const AttentionSpec& spec, std::span<const int64_t> lengths, const float* q,
                 const float* k, const float* v, float* out) {
  const int64_t width = spec.heads * spec.head_dim, kv_width = spec.kv_heads * spec.head_dim;
  std::vector<int64_t> starts;
  int64_t total = 0;
  for (const int64_t length : lengths) {
    starts.push_back(total);
    total += length;
  }
  // With one sequence the threads share its heads, with several its sequences.
  parallel_for(std::ssize(lengths), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = starts[static_cast<size_t>(i)], count = lengths[static_cast<size_t>(i)];
      KvCache cache;
      cache.append(k + start * kv_width, v + start * kv_width, count, spec.kv_heads, spec.head_dim);
      attend(spec, cache, q + start * width, count, out + start * width);
    }
  });
}

}  // namespace attar
