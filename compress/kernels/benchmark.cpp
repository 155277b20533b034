#include "compress/kernels/benchmark.h"

#include <time.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "compress/kernels/storage.h"

namespace attar {
namespace {

/// Wall time; with one thread that thread's processor time, which a busy machine does not stretch.
double now() {
  timespec time{};
  clock_gettime(thread_count() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

template <class F>
double seconds(F f) {
  const double start = now();
  f();
  return std::max(1e-9, now() - start);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void keep(float value) {
  volatile float kept = value;
  (void)kept;
}

/// What the pool's threads reach together, one measurement each.
class Ceilings {
 public:
  double read_bandwidth() const { return memory_.measure(); }                      // GB/s
  double fused() const { return arithmetic(kernels().fused_probe, kFusedProbe); }  // GFLOP/s
  double int8() const { return arithmetic(kernels().int8_probe, kInt8Probe); }     // GOP/s

 private:
  /// Long enough that the threads' waking does not count.
  static double arithmetic(float (*probe)(int64_t), int64_t steps) {
    constexpr double kLeast = 2e-3;  // seconds
    const int threads = thread_count();
    int64_t rounds = 20000;
    const auto run = [&] {
      parallel_for(threads, 1, [&](int64_t, int64_t) { keep(probe(rounds)); });
    };
    double time = seconds(run);
    if (time < kLeast) {
      rounds *= 1 + static_cast<int64_t>(kLeast / time);
      time = seconds(run);
    }
    return 2e-9 * static_cast<double>(threads * rounds * steps) / time;
  }

  ReadBandwidth memory_;
};

struct Case {
  const char* format;  // z: with zeros
  DType dtype;         // of a dense matrix
  int bits;            // 0: dense
  int64_t group;
  Activations activations;
  bool int8_inputs = false;  // W8A8: activations with one scale a row
  Levels levels = Levels::integers;
  bool zeros = false;
};
constexpr Case kCases[] = {
    {"f32", DType::f32, 0, 0, Activations::exact},
    {"bf16", DType::bf16, 0, 0, Activations::exact},
    {"int4", DType::f32, 4, 32, Activations::exact},
    {"int4", DType::f32, 4, 128, Activations::exact},
    {"int8", DType::f32, 8, 32, Activations::exact},
    {"nf4", DType::f32, 4, 64, Activations::exact, false, Levels::nf4},
    {"int4", DType::f32, 4, 128, Activations::int16},
    {"int3", DType::f32, 3, 128, Activations::int8},
    {"nf4", DType::f32, 4, 64, Activations::int8, false, Levels::nf4},
    {"int4", DType::f32, 4, 32, Activations::int8},
    {"int4", DType::f32, 4, 128, Activations::int8},
    {"int4z", DType::f32, 4, 32, Activations::int8, false, Levels::integers, true},
    {"int4z", DType::f32, 4, 128, Activations::int8, false, Levels::integers, true},
    {"int8", DType::f32, 8, 32, Activations::int8},
    {"int8", DType::f32, 8, 0, Activations::int8},
    {"int8", DType::f32, 8, 0, Activations::int8, true},
};

/// Speed does not depend on the values, so that they may repeat.
PackedMatrix make_matrix(const Case& c, int64_t rows, int64_t cols) {
  Random random(1);
  if (c.bits == 0) {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& v : values) v = static_cast<float>(random.uniform() - 0.5);
    std::vector<std::byte> bytes(values.size() * dtype_size(c.dtype));
    from_float32(values, c.dtype, bytes);
    return PackedMatrix::pack(DenseTensor{c.dtype, {rows, cols}, bytes, nullptr});
  }
  QuantizedMatrix q;
  q.layout = {c.bits, c.group, !c.zeros, DType::f16, c.int8_inputs, c.levels};
  q.rows = rows;
  q.cols = cols;
  q.codes.resize(static_cast<size_t>(rows * cols));
  for (auto& code : q.codes) code = static_cast<uint8_t>(random.next() >> (64 - c.bits));
  q.scales.assign(static_cast<size_t>(rows * q.groups()), 0.0078125f);
  if (c.zeros) q.zeros.assign(q.scales.size(), 7);
  return PackedMatrix::pack(q);
}

/// The ceiling of a case, and what one product counts towards it.
struct Measure {
  std::string unit;
  std::function<double()> ceiling;
  double amount;  // in 10⁹
};

void measure(const Case& c, const KernelBenchmark& options, const Ceilings& ceilings,
             const std::function<void(const KernelSpeed&)>& row) {
  // One copy after the other, as the layers of a model: more than any cache holds.
  constexpr uint64_t kTotal = uint64_t{96} << 20;
  std::vector<PackedMatrix> copies = {make_matrix(c, options.n, options.k)};
  while (copies.size() * copies[0].bytes() < kTotal)
    copies.push_back(make_matrix(c, options.n, options.k));
  for (const int64_t m : options.m) {
    check_interrupted();
    const bool int8 = c.activations == Activations::int8;
    Measure measure{int8 ? "GOP/s" : "GFLOP/s",
                    [&] { return int8 ? ceilings.int8() : ceilings.fused(); },
                    2e-9 * static_cast<double>(m * options.n * options.k)};
    if (m == 1)
      measure = {"GB/s", [&] { return ceilings.read_bandwidth(); },
                 1e-9 * static_cast<double>(copies[0].bytes())};
    const size_t count = m == 1 ? copies.size() : 1;
    const std::vector<float> x(static_cast<size_t>(m * options.k), 0.5f);
    std::vector<float> y(static_cast<size_t>(m * options.n));
    std::vector<double> values, tops, fractions;
    double before = measure.ceiling();
    for (int round = 0; round <= options.rounds; ++round) {
      const double time = seconds([&] {
        for (size_t i = 0; i < count; ++i) matmul(x.data(), m, copies[i], y.data(), c.activations);
      });
      const double after = measure.ceiling(), top = (before + after) / 2;
      before = after;
      if (round == 0) continue;  // warms up
      values.push_back(measure.amount * static_cast<double>(count) / time);
      tops.push_back(top);
      fractions.push_back(values.back() / top);
    }
    row({c.format, c.group, c.int8_inputs ? "int8 a row" : std::string(to_string(c.activations)), m,
         options.k, options.n, thread_count(), std::string(kernel_name()), measure.unit,
         median(values), median(tops), median(fractions)});
  }
}

}  // namespace

ReadBandwidth::ReadBandwidth() : memory_(size_t{128} << 20) {
  // A page that was never written is not read.
  std::fill_n(reinterpret_cast<float*>(memory_.data()), memory_.size() / sizeof(float), 1.0f);
}

double ReadBandwidth::measure() const {
  constexpr int64_t kPiece = int64_t{1} << 18;
  const auto* floats = reinterpret_cast<const float*>(memory_.data());
  const auto count = static_cast<int64_t>(memory_.size() / sizeof(float));
  const double time = seconds([&] {
    parallel_for(count / kPiece, count / kPiece / (8 * thread_count()),
                 [&](int64_t begin, int64_t end) {
                   keep(kernels().read_probe(floats + begin * kPiece, (end - begin) * kPiece));
                 });
  });
  return static_cast<double>(memory_.size()) / time * 1e-9;
}

void benchmark_kernels(const KernelBenchmark& options,
                       const std::function<void(const KernelSpeed&)>& row) {
  const bool positive =
      options.k > 0 && options.n > 0 && options.rounds > 0 &&
      std::all_of(options.m.begin(), options.m.end(), [](int64_t m) { return m > 0; });
  if (!positive || options.m.empty())
    throw bad_input("rows, columns and rounds must be at least 1", "kernel benchmark");
  const Ceilings ceilings;
  for (const Case& c : kCases) measure(c, options, ceilings, row);
}

}  // namespace attar
