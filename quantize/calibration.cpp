#include "quantize/calibration.h"

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/kernels/gram.h"

namespace attar {
namespace {

constexpr int64_t kRows = 8192;  // tokens at a time: bounds the copies that are made of inputs

/// exact − x, value by value.
std::vector<float> difference(const float* exact, const float* x, int64_t count) {
  std::vector<float> d(static_cast<size_t>(count));
  parallel_for(count, 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) d[static_cast<size_t>(i)] = exact[i] - x[i];
  });
  return d;
}

/// largest[c] = max(largest[c], |x[r, c]|).
void raise_largest(const float* x, int64_t rows, int64_t cols, std::vector<float>& largest) {
  largest.resize(static_cast<size_t>(cols));
  parallel_for(cols, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = begin; c < end; ++c) {
        float& most = largest[static_cast<size_t>(c)];
        most = std::max(most, std::abs(x[r * cols + c]));
      }
  });
}

std::vector<float> scaled(const std::vector<double>& sums, int64_t tokens) {
  std::vector<float> result(sums.size());
  const double factor = 2.0 / static_cast<double>(std::max<int64_t>(1, tokens));
  for (size_t i = 0; i < sums.size(); ++i) result[i] = static_cast<float>(sums[i] * factor);
  return result;
}

/// Room for `count` values, whatever they are.
void grow(std::vector<float>& buffer, int64_t count) {
  if (std::ssize(buffer) < count) buffer.resize(static_cast<size_t>(count));
}

void require_finite_moments(const std::string& module, const InputMoments& moments) {
  for (int64_t j = 0; j < moments.size; ++j)
    if (!std::isfinite(moments.gram[static_cast<size_t>(j * moments.size + j)]))
      throw failure("the calibration inputs of " + module + " are not finite",
                    "channel " + std::to_string(j),
                    "the model overflows on this data; look at its activations and its float type");
}

}  // namespace

void InputMoments::add(const float* x, int64_t rows, const float* exact) {
  gram.resize(static_cast<size_t>(size * size));
  if (exact != nullptr) cross.resize(gram.size());
  accumulate_gram_int8(x, rows, size, gram.data());
  if (with_largest) raise_largest(x, rows, size, largest);
  for (int64_t row = 0; exact != nullptr && row < rows; row += kRows) {
    const int64_t count = std::min(kRows, rows - row);
    const auto d = difference(exact + row * size, x + row * size, count * size);
    accumulate_cross(d.data(), size, x + row * size, size, count, cross.data());
  }
  tokens += rows;
}

std::vector<float> InputMoments::hessian() const {
  return scaled(gram, tokens);
}

std::vector<float> InputMoments::error_cross() const {
  return scaled(cross, tokens);
}

std::map<std::string, std::string> input_leaders(const BlockSpec& block) {
  std::map<std::string, std::string> leaders;
  const auto together = [&](std::initializer_list<const LinearSpec*> linears) {
    std::string leader;
    for (const LinearSpec* linear : linears) {
      if (linear->weight.empty()) continue;
      if (leader.empty()) leader = linear->module();
      leaders[linear->module()] = leader;
    }
  };
  if (const auto& net = block.delta_net)
    together({&net->q, &net->k, &net->v, &net->z});
  else
    together({&block.attention.q, &block.attention.k, &block.attention.v});
  for (const MlpSpec* part : block.mlps()) together({&part->gate, &part->up});
  for (const LinearSpec* output : block.outputs()) together({output});
  return leaders;
}

CalibrationWalk::CalibrationWalk(const ModelSpec& spec, HiddenStream stream, bool follow_exact)
    : spec_(&spec), stream_(std::move(stream)) {
  stream_.set_activations(Activations::int16);
  if (follow_exact) exact_ = std::make_unique<HiddenStream>(stream_);
}

CalibrationWalk::CalibrationWalk(const ModelSpec& spec, HiddenStream stream, HiddenStream exact)
    : spec_(&spec),
      stream_(std::move(stream)),
      exact_(std::make_unique<HiddenStream>(std::move(exact))) {
  stream_.set_activations(Activations::int16);
}

template <class F>
void CalibrationWalk::for_stretches(F f) const {
  for (int64_t first = 0; first < stream_.windows();) {
    int64_t count = 1;
    while (first + count < stream_.windows() && stream_.rows(first, count + 1) <= kRows) ++count;
    f(first, count, stream_.starts()[static_cast<size_t>(first)], stream_.rows(first, count));
    first += count;
  }
}

InputMoments CalibrationWalk::empty_moments(int64_t size) const {
  InputMoments moments;
  moments.size = size;
  moments.with_largest = track_largest_;
  return moments;
}

InputMoments CalibrationWalk::first_moments(const Block& block, const Block* original, Half half) {
  InputMoments moments = empty_moments(spec_->hidden);
  for_stretches([&](int64_t first, int64_t count, int64_t, int64_t rows) {
    grow(x_, rows * spec_->hidden);
    stream_.normed(block, half, first, count, x_.data());
    if (original != nullptr) {
      grow(exact_x_, rows * spec_->hidden);
      exact_->normed(*original, half, first, count, exact_x_.data());
    }
    moments.add(x_.data(), rows, original != nullptr ? exact_x_.data() : nullptr);
  });
  return moments;
}

std::map<std::string, InputMoments> CalibrationWalk::moments_of_experts(
    const Block& block, int64_t index, Half half, const std::set<std::string>& leaders) const {
  std::map<std::string, InputMoments> moments;
  const auto gather = [&](const LinearSpec& linear, const float* x, int64_t rows) {
    const std::string module = linear.module();
    if (!leaders.contains(module)) return;
    moments.try_emplace(module, empty_moments(linear.in)).first->second.add(x, rows);
  };
  for (int64_t w = 0; w < stream_.windows(); ++w) stream_.watch_mix(block, index, half, w, gather);
  for (const MlpSpec* part : spec_->blocks[static_cast<size_t>(index)].mlps())
    for (const LinearSpec* linear : {part->gated() ? &part->gate : &part->up, &part->down})
      if (leaders.contains(linear->module()))  // one that no token was sent to has no moments
        moments.try_emplace(linear->module(), empty_moments(linear->in));
  for (auto& [module, mine] : moments) mine.gram.resize(static_cast<size_t>(mine.size * mine.size));
  return moments;
}

void CalibrationWalk::mix(const Pair& pair, Half half, InputMoments* moments) {
  Paths& paths = paths_of(pair, half);
  const int64_t width = pair.block.mixed_width(half);
  paths.quantized.resize(stream_.rows(), width);
  if (exact_) paths.exact.resize(stream_.rows(), width);
  for_stretches([&](int64_t first, int64_t count, int64_t row, int64_t rows) {
    grow(x_, rows * width);
    stream_.mix(pair.block, pair.index, half, first, count, x_.data());
    paths.quantized.put(row, rows, x_.data());
    if (exact_) {
      grow(exact_x_, rows * width);
      exact_->mix(*pair.exact, pair.index, half, first, count, exact_x_.data());
      paths.exact.put(row, rows, exact_x_.data());
    }
    if (moments != nullptr) moments->add(x_.data(), rows, exact_ ? exact_x_.data() : nullptr);
  });
}

void CalibrationWalk::project(const Pair& pair, Half half) {
  const Paths& paths = paths_of(pair, half);
  const int64_t width = pair.block.mixed_width(half);
  for_stretches([&](int64_t first, int64_t count, int64_t row, int64_t rows) {
    grow(x_, rows * width);
    paths.quantized.get(row, rows, x_.data());
    stream_.project(pair.block, half, first, count, x_.data());
    if (!exact_) return;
    paths.exact.get(row, rows, x_.data());
    exact_->project(*pair.exact, half, first, count, x_.data());
  });
}

void CalibrationWalk::run_half(Pair& pair, Half half, const std::set<std::string>& leaders,
                               const Visitor& visit, bool last) {
  const BlockSpec& spec = spec_->blocks[static_cast<size_t>(pair.index)];
  const auto meet = [&](const std::string& leader, const InputMoments& moments) {
    require_finite_moments(leader, moments);
    const Replaced replaced = visit(leader, moments);
    if (!replaced.empty()) pair.block = pair.block.with(replaced);
  };
  if (!pair.block.splits(half)) {
    for (const auto& [leader, moments] : moments_of_experts(pair.block, pair.index, half, leaders))
      meet(leader, moments);
    return mix(pair, half, nullptr);
  }
  const bool attention = half == Half::attention;
  const LinearSpec& reader = !attention       ? spec.mlp.up
                             : spec.delta_net ? spec.delta_net->q
                                              : spec.attention.q;
  const LinearSpec& output = !attention       ? spec.mlp.down
                             : spec.delta_net ? spec.delta_net->out
                                              : spec.attention.o;
  const std::string leader = input_leaders(spec).at(reader.module());
  if (leaders.contains(leader)) meet(leader, first_moments(pair.block, pair.exact.get(), half));
  const bool wanted = leaders.contains(output.module());
  if (!attention && last && !wanted) return;
  InputMoments moments = empty_moments(output.in);
  mix(pair, half, wanted ? &moments : nullptr);
  if (wanted) meet(output.module(), moments);
}

void CalibrationWalk::run(Pair& pair, const std::set<std::string>& leaders, const Visitor& visit,
                          bool last) {
  const bool parallel = pair.block.parallel();
  run_half(pair, Half::attention, leaders, visit, last);
  if (!parallel) project(pair, Half::attention);
  run_half(pair, Half::mlp, leaders, visit, last);
  if (last) return;
  if (parallel) project(pair, Half::attention);
  project(pair, Half::mlp);
}

void CalibrationWalk::walk(int64_t index, const WeightSource& weights, const WeightSource& original,
                           const std::set<std::string>& leaders, const Visitor& visit, bool last) {
  Pair pair{Block(*spec_, index, weights), nullptr, index};
  if (exact_) pair.exact = std::make_unique<const Block>(*spec_, index, original);
  run(pair, leaders, visit, last);
}

void CalibrationWalk::look(int64_t index, const WeightSource& weights, const WeightSource& original,
                           const std::set<std::string>& leaders, const Visitor& visit) {
  CalibrationWalk copy =
      exact_ ? CalibrationWalk(*spec_, stream_, *exact_) : CalibrationWalk(*spec_, stream_, false);
  copy.track_largest_ = track_largest_;
  std::swap(copy.paths_, paths_);
  const auto only_look = [&](const std::string& leader, const InputMoments& moments) {
    visit(leader, moments);
    return Replaced{};
  };
  copy.walk(index, weights, original, leaders, only_look, true);
  std::swap(copy.paths_, paths_);
}

void CalibrationWalk::pass(int64_t index, const WeightSource& weights, const WeightSource& original,
                           const Replaced& replaced) {
  Pair pair{Block(*spec_, index, weights, replaced), nullptr, index};
  if (exact_) pair.exact = std::make_unique<const Block>(*spec_, index, original);
  run(pair, {}, {}, false);
}

}  // namespace attar
