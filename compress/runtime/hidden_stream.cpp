#include "compress/runtime/hidden_stream.h"

#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/threads.h"
#include "compress/runtime/encoder.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/load.h"
#include "compress/runtime/norm.h"

namespace attar {
namespace {

void require_windows(const ModelSpec& spec, const std::vector<int64_t>& starts) {
  for (size_t w = 0; w + 1 < starts.size(); ++w)
    if (const int64_t length = starts[w + 1] - starts[w]; length > spec.max_positions)
      throw bad_input(fmt::format("windows of {} ids are longer than the model's maximum of {}",
                                  length, spec.max_positions),
                      {}, "give the data entry a smaller length");
}

/// What the first block reads of windows of ids, [count, hidden].
std::vector<float> embed(const ModelSpec& spec, const WeightSource& weights,
                         std::span<const int32_t> ids, const std::vector<int64_t>& starts) {
  const Weight weight = weights.load_codes(spec.embedding);
  require_matrix(spec.embedding, weight, spec.vocab, spec.hidden);
  const auto* dense = std::get_if<DenseTensor>(&weight);
  std::optional<PackedMatrix> codes;
  if (dense == nullptr) codes = PackedMatrix::pack(weight);
  const size_t row_bytes =
      dense == nullptr ? 0 : static_cast<size_t>(spec.hidden) * dtype_size(dense->dtype);
  std::vector<float> hidden(ids.size() * static_cast<size_t>(spec.hidden));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= spec.vocab)
      throw bad_input(
          fmt::format("id {} at index {} is outside the vocabulary of {}", ids[i], i, spec.vocab),
          "input ids", "was the text tokenized with this model's tokenizer?");
    const std::span<float> row(hidden.data() + i * static_cast<size_t>(spec.hidden),
                               static_cast<size_t>(spec.hidden));
    if (codes)
      codes->row(ids[i], row.data());
    else
      to_float32(dense->bytes.subspan(static_cast<size_t>(ids[i]) * row_bytes, row_bytes),
                 dense->dtype, row);
    if (spec.embedding_scale != 1)
      for (float& value : row) value *= spec.embedding_scale;
  }
  const DenseTensor positions = load_positions(spec, weights);
  for (size_t w = 0; w + 1 < starts.size(); ++w)
    add_positions(spec, positions, 0, starts[w + 1] - starts[w],
                  hidden.data() + starts[w] * spec.hidden);
  return hidden;
}

std::vector<int64_t> equal_starts(int64_t ids, int64_t window) {
  std::vector<int64_t> starts;
  for (int64_t start = 0; start <= ids; start += window) starts.push_back(start);
  return starts;
}

}  // namespace

HiddenStream::HiddenStream(const ModelSpec& spec, const WeightSource& weights,
                           std::span<const int32_t> ids, int64_t window)
    : HiddenStream(spec, weights, ids, {}, equal_starts(std::ssize(ids), window)) {}

HiddenStream::HiddenStream(const ModelSpec& spec, const WeightSource& weights,
                           std::span<const int32_t> ids, std::span<const int32_t> types,
                           std::vector<int64_t> starts)
    : spec_(&spec), starts_(std::move(starts)) {
  open_ropes();
  if (spec.task == Task::causal_lm) {
    hidden_ = embed(spec, weights, ids, starts_);
    return;
  }
  hidden_.resize(ids.size() * static_cast<size_t>(spec.hidden));
  std::vector<TextIds> texts;
  for (int64_t w = 0; w < windows(); ++w) {
    const auto first = static_cast<size_t>(starts_[static_cast<size_t>(w)]);
    const auto count = static_cast<size_t>(window_length(w));
    texts.push_back({ids.subspan(first, count), {}});
    if (!types.empty()) texts.back().types = types.subspan(first, count);
  }
  TextEmbedding(spec, weights).apply(texts, hidden_.data());
}

HiddenStream::HiddenStream(const ModelSpec& spec, std::vector<float> hidden,
                           std::vector<int64_t> starts)
    : spec_(&spec), starts_(std::move(starts)), hidden_(std::move(hidden)) {
  open_ropes();
}

void HiddenStream::open_ropes() {
  require_windows(*spec_, starts_);
  for (const RopeSpec& rope : spec_->ropes)
    ropes_.push_back(std::make_shared<RopeTable>(rope, spec_->max_positions));
}

const RopeTable* HiddenStream::rope(int64_t block) const {
  const int index = spec_->blocks[static_cast<size_t>(block)].attention.rope;
  return index < 0 ? nullptr : ropes_[static_cast<size_t>(index)].get();
}

void HiddenStream::for_windows(int64_t first, int64_t count,
                               const std::function<void(int64_t)>& f) const {
  const int64_t grain = count >= 2 * thread_count() ? 1 : count;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      check_interrupted();
      f(first + w);
    }
  });
}

void HiddenStream::pass(const Block& block, int64_t index) {
  for_windows(0, windows(), [&](int64_t w) { pass_window(block, index, w); });
}

void HiddenStream::normed(const Block& block, Half half, int64_t first, int64_t count,
                          float* out) const {
  block.normed(half, window(first), rows(first, count), out);
}

void HiddenStream::mix(const Block& block, int64_t index, Half half, int64_t first, int64_t count,
                       float* out) const {
  const int64_t width = block.mixed_width(half);
  for_windows(first, count, [&](int64_t w) {
    block.mix(half, window(w), window_length(w), nullptr, rope(index), activations_,
              out + rows(first, w - first) * width);
  });
}

void HiddenStream::watch_mix(const Block& block, int64_t index, Half half, int64_t window_index,
                             const LinearObserver& observer) const {
  check_interrupted();
  const int64_t count = window_length(window_index);
  const Buffer out = buffer(count, block.mixed_width(half));
  block.mix(half, window(window_index), count, nullptr, rope(index), activations_, out.get(),
            observer);
}

void HiddenStream::project(const Block& block, Half half, int64_t first, int64_t count,
                           const float* mixed) {
  const int64_t width = block.mixed_width(half);
  for_windows(first, count, [&](int64_t w) {
    block.project(half, mixed + rows(first, w - first) * width, window_length(w), activations_,
                  hidden_.data() + starts_[static_cast<size_t>(w)] * spec_->hidden);
  });
}

void HiddenStream::pass_window(const Block& block, int64_t index, int64_t window_index,
                               const LinearObserver& observer) {
  check_interrupted();
  block.forward(hidden_.data() + starts_[static_cast<size_t>(window_index)] * spec_->hidden,
                window_length(window_index), nullptr, rope(index), activations_, observer);
}

std::vector<float> HiddenStream::watch(const Block& block, int64_t index, int64_t window_index,
                                       const LinearObserver& observer) const {
  check_interrupted();
  const float* from = window(window_index);
  const int64_t length = window_length(window_index);
  std::vector<float> hidden(from, from + length * spec_->hidden);
  block.forward(hidden.data(), length, nullptr, rope(index), activations_, observer);
  return hidden;
}

struct OutputHead::State {
  Norm norm;
  Linear head;
  float softcap;
};

OutputHead::OutputHead(const ModelSpec& spec, const WeightSource& weights)
    : state_(std::make_unique<State>(State{Norm(spec.final_norm, spec.hidden, weights),
                                           load_linear(spec.head, weights), spec.logit_softcap})) {}
OutputHead::~OutputHead() = default;

std::vector<float> OutputHead::normalized(const float* hidden, int64_t count) const {
  std::vector<float> normed(static_cast<size_t>(count * state_->head.spec.in));
  state_->norm.apply(hidden, count, normed.data());
  return normed;
}

void OutputHead::logits(const float* hidden, int64_t count, float* logits) const {
  matmul(normalized(hidden, count).data(), count, state_->head.weight, logits);
  state_->head.add_bias(logits, count);
  if (state_->softcap > 0) soft_cap(logits, count * state_->head.spec.out, state_->softcap);
}

}  // namespace attar
