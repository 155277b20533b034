#include "compress/runtime/delta_net.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "tests/support/random_weights.h"

namespace attar {
namespace {

constexpr int64_t kHidden = 12;

DeltaNetSpec spec_of(int64_t key_heads, int64_t value_heads, int64_t key_dim, int64_t value_dim,
                     int64_t conv_width) {
  const int64_t keys = key_heads * key_dim, values = value_heads * value_dim;
  DeltaNetSpec spec;
  spec.q = {"q.weight", {}, keys, kHidden};
  spec.k = {"k.weight", {}, keys, kHidden};
  spec.v = {"v.weight", {}, values, kHidden};
  spec.z = {"z.weight", {}, values, kHidden};
  spec.b = {"b.weight", {}, value_heads, kHidden};
  spec.a = {"a.weight", {}, value_heads, kHidden};
  spec.out = {"out.weight", {}, kHidden, values};
  spec.conv = "conv.weight";
  spec.a_log = "A_log";
  spec.dt_bias = "dt_bias";
  spec.norm = {NormKind::rms, 1e-6f, "norm.weight", {}, 0};
  spec.key_heads = key_heads;
  spec.value_heads = value_heads;
  spec.key_dim = key_dim;
  spec.value_dim = value_dim;
  spec.conv_width = conv_width;
  return spec;
}

testing::RandomWeights weights_of(const DeltaNetSpec& spec) {
  testing::RandomWeights weights(5);
  for (const LinearSpec* linear : {&spec.q, &spec.k, &spec.v, &spec.z, &spec.b, &spec.a, &spec.out})
    weights.add(linear->weight, {linear->out, linear->in}, 0.5);
  weights.add(spec.conv, {spec.conv_channels(), 1, spec.conv_width}, 0.5);
  weights.add(spec.a_log, {spec.value_heads}, 1.0, -1.0);
  weights.add(spec.dt_bias, {spec.value_heads}, 1.0);
  weights.add(spec.norm.weight, {spec.value_dim}, 0.2, 1.0);
  return weights;
}

DeltaNet make(const DeltaNetSpec& spec, const WeightSource& weights) {
  return DeltaNet(spec, weights,
                  [&](const LinearSpec& part) { return load_linear(part, weights); });
}

std::vector<float> random_rows(int64_t rows) {
  Random random(8);
  std::vector<float> x;
  for (int64_t i = 0; i < rows * kHidden; ++i) x.push_back(static_cast<float>(random.normal()));
  return x;
}

/// The recurrence as it is written, one position at a time, in float64.
class Recurrence {
 public:
  Recurrence(const DeltaNetSpec& spec, const WeightSource& weights) : s_(spec), weights_(weights) {}

  std::vector<double> run(const std::vector<float>& x) const {
    const int64_t rows = static_cast<int64_t>(x.size()) / kHidden;
    const auto q = convolved(s_.q, x, 0), k = convolved(s_.k, x, s_.q.out),
               v = convolved(s_.v, x, 2 * s_.q.out);
    const auto z = product(s_.z, x), b = product(s_.b, x), a = product(s_.a, x);
    const auto a_log = weights_.floats(s_.a_log), dt = weights_.floats(s_.dt_bias),
               norm = weights_.floats(s_.norm.weight);
    std::vector<float> mixed(static_cast<size_t>(rows * s_.v.out));
    for (int64_t head = 0; head < s_.value_heads; ++head) {
      std::vector<double> state(static_cast<size_t>(s_.key_dim * s_.value_dim));
      const int64_t key_head = head / (s_.value_heads / s_.key_heads);
      for (int64_t t = 0; t < rows; ++t) {
        const auto at = static_cast<size_t>(t * s_.value_heads + head);
        const auto h = static_cast<size_t>(head);
        const double decay =
            std::exp(-std::exp(double{a_log[h]}) * std::log1p(std::exp(a[at] + double{dt[h]})));
        const auto kt = unit(k, t, key_head), qt = unit(q, t, key_head);
        std::vector<double> out(static_cast<size_t>(s_.value_dim));
        for (int64_t c = 0; c < s_.value_dim; ++c) {
          double seen = 0;
          for (int64_t d = 0; d < s_.key_dim; ++d) {
            double& cell = state[static_cast<size_t>(d * s_.value_dim + c)];
            cell *= decay;
            seen += cell * kt[static_cast<size_t>(d)];
          }
          const double value =
              v[static_cast<size_t>((t * s_.value_heads + head) * s_.value_dim + c)];
          const double delta = (value - seen) / (1 + std::exp(-b[at]));
          for (int64_t d = 0; d < s_.key_dim; ++d) {
            double& cell = state[static_cast<size_t>(d * s_.value_dim + c)];
            cell += kt[static_cast<size_t>(d)] * delta;
            out[static_cast<size_t>(c)] +=
                cell * qt[static_cast<size_t>(d)] / std::sqrt(static_cast<double>(s_.key_dim));
          }
        }
        double square = 0;
        for (const double value : out) square += value * value;
        const double factor = 1 / std::sqrt(square / static_cast<double>(s_.value_dim) + 1e-6);
        for (size_t c = 0; c < out.size(); ++c) {
          const size_t to = at * out.size() + c;
          mixed[to] = static_cast<float>(out[c] * factor * double{norm[c]} * z[to] /
                                         (1 + std::exp(-z[to])));
        }
      }
    }
    return product(s_.out, mixed);
  }

 private:
  std::vector<double> product(const LinearSpec& linear, const std::vector<float>& x) const {
    const auto w = weights_.floats(linear.weight);
    std::vector<double> y;
    for (size_t row = 0; row < x.size(); row += static_cast<size_t>(linear.in))
      for (size_t o = 0; o < w.size(); o += static_cast<size_t>(linear.in)) {
        double sum = 0;
        for (size_t i = 0; i < static_cast<size_t>(linear.in); ++i)
          sum += double{w[o + i]} * double{x[row + i]};
        y.push_back(sum);
      }
    return y;
  }
  std::vector<double> convolved(const LinearSpec& linear, const std::vector<float>& x,
                                int64_t channel) const {
    const auto in = product(linear, x);
    const auto w = weights_.floats(s_.conv);
    std::vector<double> y;
    for (int64_t i = 0; i < static_cast<int64_t>(in.size()); ++i) {
      double sum = 0;
      for (int64_t tap = 0; tap < s_.conv_width; ++tap) {
        const int64_t from = i - (s_.conv_width - 1 - tap) * linear.out;
        const auto at = static_cast<size_t>((channel + i % linear.out) * s_.conv_width + tap);
        if (from >= 0) sum += double{w[at]} * in[static_cast<size_t>(from)];
      }
      y.push_back(sum / (1 + std::exp(-sum)));
    }
    return y;
  }
  /// Position t's key or query of a head, of length 1.
  std::vector<double> unit(const std::vector<double>& x, int64_t t, int64_t head) const {
    const auto from = x.begin() + (t * s_.key_heads + head) * s_.key_dim;
    std::vector<double> result(from, from + s_.key_dim);
    double square = 0;
    for (const double value : result) square += value * value;
    for (double& value : result) value /= std::sqrt(square + 1e-6);
    return result;
  }

  const DeltaNetSpec& s_;
  const WeightSource& weights_;
};

std::vector<float> in_pieces(const DeltaNet& net, const std::vector<float>& x, int64_t piece) {
  const Linear& output = net.output();
  std::vector<float> y(x.size());
  DeltaState state;
  const auto rows = static_cast<int64_t>(x.size()) / kHidden;
  for (int64_t row = 0; row < rows; row += piece) {
    const int64_t count = std::min(piece, rows - row);
    std::vector<float> mixed(static_cast<size_t>(count * output.spec.in));
    net.mix(x.data() + row * kHidden, count, state, mixed.data(), Activations::exact, {});
    matmul(mixed.data(), count, output.weight, y.data() + row * kHidden);
  }
  EXPECT_EQ(state.length, rows);
  return y;
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Shape {
  int64_t key_heads, value_heads, key_dim, value_dim, conv_width;
};
constexpr Shape kShapes[] = {
    {2, 4, 8, 8, 4}, {1, 1, 3, 5, 1}, {3, 3, 33, 40, 2}, {2, 6, 16, 64, 5}, {1, 2, 32, 32, 4}};

TEST(DeltaNet, ComputesTheRecurrence) {
  for (const Shape& s : kShapes) {
    const auto spec = spec_of(s.key_heads, s.value_heads, s.key_dim, s.value_dim, s.conv_width);
    const auto weights = weights_of(spec);
    const auto x = random_rows(75);
    const auto expected = Recurrence(spec, weights).run(x);
    const auto y = in_pieces(make(spec, weights), x, 75);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      worst = std::max(worst, std::abs(expected[i] - double{y[i]}));
      largest = std::max(largest, std::abs(expected[i]));
    }
    EXPECT_GT(largest, 0.5);
    EXPECT_LT(worst, 2e-5 * largest) << s.key_dim << " × " << s.value_dim;
  }
}

TEST(DeltaNet, BytesDependOnNeitherPiecesNorThreadsNorInstructionSet) {
  const KernelTable& best = kernels();
  const int threads = thread_count();
  for (const Shape& s : kShapes) {
    const auto spec = spec_of(s.key_heads, s.value_heads, s.key_dim, s.value_dim, s.conv_width);
    const auto weights = weights_of(spec);
    const DeltaNet net = make(spec, weights);
    const auto x = random_rows(101);
    const auto expected = in_pieces(net, x, 101);
    for (const int64_t piece : {1, 2, 31, 32, 33, 64})
      EXPECT_TRUE(same_bytes(in_pieces(net, x, piece), expected)) << "pieces of " << piece;
    for (const int count : {1, 3}) {
      set_thread_count(count);
      EXPECT_TRUE(same_bytes(in_pieces(net, x, 40), expected)) << count << " threads";
    }
    set_thread_count(threads);
    for (const char* isa : {"portable", "avx2", "avxvnni", "avx512"})
      if (const KernelTable* table = find_kernels(isa)) {
        use_kernels(*table);
        EXPECT_TRUE(same_bytes(in_pieces(net, x, 50), expected)) << isa;
      }
    use_kernels(best);
  }
}

TEST(DeltaNet, ForgetsAtOnceWhenTheRateIsHuge) {
  const auto spec = spec_of(1, 1, 4, 4, 1);
  auto weights = weights_of(spec);
  weights.add(spec.a_log, {1}, 0, 80);  // e^80 · softplus: the state is gone after each position
  const auto x = random_rows(40);
  const auto y = in_pieces(make(spec, weights), x, 40);
  const std::vector<float> last(x.end() - kHidden, x.end());
  EXPECT_TRUE(same_bytes(in_pieces(make(spec, weights), last, 1), {y.end() - kHidden, y.end()}));
}

TEST(DeltaNet, RefusesARateBeyondFloat) {
  const auto spec = spec_of(1, 1, 4, 4, 1);
  auto weights = weights_of(spec);
  weights.add(spec.a_log, {1}, 0, 200);
  EXPECT_THROW(make(spec, weights), Error);
}

}  // namespace
}  // namespace attar
