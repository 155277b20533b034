#include "compress/runtime/encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/base/error.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/runtime/load.h"
#include "compress/runtime/norm.h"
#include "compress/runtime/packed_cache.h"

namespace attar {
namespace {

DenseTensor load_table(const WeightSource& weights, const std::string& name, int64_t rows,
                       int64_t hidden) {
  const Weight weight = weights.load(name);
  require_matrix(name, weight, rows, hidden);
  const auto* dense = std::get_if<DenseTensor>(&weight);
  if (dense == nullptr) throw bad_input("the embedding table is quantized", "tensor " + name);
  return *dense;
}

/// out [hidden] += (or =) a row of the table.
void take_row(const DenseTensor& table, int64_t row, bool add, std::span<float> out) {
  const size_t bytes = out.size() * dtype_size(table.dtype);
  const auto from = table.bytes.subspan(static_cast<size_t>(row) * bytes, bytes);
  if (!add) return to_float32(from, table.dtype, out);
  thread_local std::vector<float> values;
  values.resize(out.size());
  to_float32(from, table.dtype, values);
  for (size_t i = 0; i < out.size(); ++i) out[i] += values[i];
}

std::vector<int64_t> lengths_of(std::span<const TextIds> texts) {
  std::vector<int64_t> lengths;
  for (const TextIds& text : texts) lengths.push_back(std::ssize(text.ids));
  return lengths;
}

}  // namespace

TextEmbedding::TextEmbedding(const ModelSpec& spec, const WeightSource& weights)
    : spec_(&spec),
      words_(load_table(weights, spec.embedding, spec.vocab, spec.hidden)),
      norm_(std::make_shared<Norm>(spec.embedding_norm, spec.hidden, weights)) {
  if (!spec.positions.empty())
    positions_ =
        load_table(weights, spec.positions, spec.position_offset + spec.max_positions, spec.hidden);
  if (!spec.token_types.empty())
    types_ = load_table(weights, spec.token_types, spec.type_vocab, spec.hidden);
}

uint64_t TextEmbedding::bytes() const {
  return words_.bytes.size() + positions_.bytes.size() + types_.bytes.size() + norm_->bytes();
}

void TextEmbedding::apply(const TextIds& text, size_t index, float* hidden) const {
  const ModelSpec& spec = *spec_;
  const std::string where = fmt::format("text {}", index);
  const int64_t count = std::ssize(text.ids);
  if (count == 0) throw bad_input("a text without ids", where);
  if (count > spec.max_positions)
    throw bad_input(
        fmt::format("{} ids are more than the model's {} positions", count, spec.max_positions),
        where, "cut the text");
  int64_t position = spec.position_offset;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = text.ids[static_cast<size_t>(i)];
    const int64_t type = text.types.empty() ? 0 : text.types[static_cast<size_t>(i)];
    if (id < 0 || id >= spec.vocab)
      throw bad_input(
          fmt::format("id {} at index {} is outside the vocabulary of {}", id, i, spec.vocab),
          where, "was the text tokenized with this model's tokenizer?");
    if (type < 0 || type >= std::max<int64_t>(1, spec.type_vocab))
      throw bad_input(fmt::format("token type {} at index {}; the model has {}", type, i,
                                  std::max<int64_t>(1, spec.type_vocab)),
                      where, "this model does not read pairs of texts");
    const std::span<float> row(hidden + i * spec.hidden, static_cast<size_t>(spec.hidden));
    take_row(words_, id, false, row);
    if (!spec.token_types.empty()) take_row(types_, type, true, row);
    // RoBERTa counts positions of ids that are no padding; padding has the row before the first.
    const bool padding = spec.position_offset > 0 && spec.pad_id == id;
    if (!spec.positions.empty())
      take_row(positions_, padding ? spec.position_offset - 1 : position++, true, row);
  }
  if (norm_->present()) norm_->apply(hidden, count, hidden);
}

void TextEmbedding::apply(std::span<const TextIds> texts, float* hidden) const {
  const auto lengths = lengths_of(texts);
  std::vector<int64_t> starts(lengths.size());
  std::exclusive_scan(lengths.begin(), lengths.end(), starts.begin(), int64_t{0});
  parallel_for(std::ssize(texts), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      apply(texts[at], at, hidden + starts[at] * spec_->hidden);
    }
  });
}

struct EncoderHead::State {
  ModelSpec spec;
  std::optional<Linear> pooler, classifier;
};

EncoderHead::EncoderHead(const ModelSpec& spec, const WeightSource& weights, PackedCache* cache) {
  auto state = std::make_shared<State>();
  state->spec = spec;
  if (spec.task == Task::classify) {
    if (!spec.pooler.weight.empty())
      state->pooler = load_linear(spec.pooler, weights, nullptr, cache);
    state->classifier = load_linear(spec.classifier, weights, nullptr, cache);
  }
  state_ = std::move(state);
}

int64_t EncoderHead::width() const {
  return state_->classifier ? state_->spec.classifier.out : state_->spec.hidden;
}

uint64_t EncoderHead::bytes() const {
  return (state_->pooler ? state_->pooler->bytes() : 0) +
         (state_->classifier ? state_->classifier->bytes() : 0);
}

namespace {

/// out [hidden]: the first row, or the mean of `count` rows, summed in order.
void pool(Pooling pooling, const float* hidden, int64_t count, int64_t width, float* out) {
  std::copy_n(hidden, width, out);
  if (pooling != Pooling::mean) return;
  for (int64_t d = 0; d < width; ++d) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(hidden[i * width + d]);
    out[d] = static_cast<float>(sum / static_cast<double>(count));
  }
}

}  // namespace

void EncoderHead::apply(const float* hidden, std::span<const int64_t> lengths,
                        Activations activations, float* out) const {
  const ModelSpec& spec = state_->spec;
  const auto texts = std::ssize(lengths);
  std::vector<float> pooled(static_cast<size_t>(texts * spec.hidden));
  int64_t start = 0;
  for (int64_t i = 0; i < texts; ++i) {
    const int64_t length = lengths[static_cast<size_t>(i)];
    pool(spec.pooling, hidden + start * spec.hidden, length, spec.hidden,
         pooled.data() + i * spec.hidden);
    start += length;
  }
  if (state_->pooler) {
    std::vector<float> next(pooled.size());
    matmul(pooled.data(), texts, state_->pooler->weight, next.data(), activations);
    state_->pooler->add_bias(next.data(), texts);
    const bool tanh = spec.pooler_activation == ModelSpec::PoolerActivation::tanh;
    for (float& x : next)
      x = tanh ? static_cast<float>(std::tanh(static_cast<double>(x))) : std::max(x, 0.0f);
    pooled = std::move(next);
  }
  if (state_->classifier) {
    matmul(pooled.data(), texts, state_->classifier->weight, out, activations);
    state_->classifier->add_bias(out, texts);
  } else {
    std::copy(pooled.begin(), pooled.end(), out);
  }
  for (int64_t i = 0; i < texts * width(); ++i)
    if (!std::isfinite(out[i]))
      throw failure(fmt::format("the result of text {} is not finite", i / width()), {},
                    "the model's weights or activations overflow float32");
}

struct EncoderModel::State {
  ModelSpec spec;
  RuntimeOptions options;
  std::optional<TextEmbedding> embedding;
  std::vector<Block> blocks;
  std::optional<EncoderHead> head;
};

std::shared_ptr<const EncoderModel> EncoderModel::load(const Model& opened,
                                                       const RuntimeOptions& options) {
  auto state = std::make_shared<State>();
  state->spec = opened.spec;
  state->options = options;
  const ModelSpec& spec = state->spec;
  if (spec.task == Task::causal_lm)
    throw bad_input(fmt::format("{} writes text; it is neither a classifier nor an embedder",
                                spec.architecture),
                    opened.path.string(), "see `attar generate`");
  const WeightSource& weights = *opened.weights;
  for (const auto& note : opened.notes) say(note);
  const auto cache = open_packed_cache(options.packed_cache, opened);
  state->embedding.emplace(spec, weights);
  for (size_t i = 0; i < spec.blocks.size(); ++i)
    state->blocks.emplace_back(spec, static_cast<int64_t>(i), weights,
                               std::map<std::string, Weight>{}, cache.get());
  state->head.emplace(spec, weights, cache.get());
  if (cache) cache->finish();
  auto model = std::make_shared<EncoderModel>();
  model->state_ = std::move(state);
  return model;
}

const ModelSpec& EncoderModel::spec() const {
  return state_->spec;
}
int64_t EncoderModel::width() const {
  return state_->head->width();
}

uint64_t EncoderModel::bytes() const {
  uint64_t total = state_->embedding->bytes() + state_->head->bytes();
  for (const Block& block : state_->blocks) total += block.bytes();
  return total;
}

std::vector<float> EncoderModel::run(std::span<const TextIds> texts) const {
  const auto lengths = lengths_of(texts);
  const int64_t rows = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  std::vector<float> hidden(static_cast<size_t>(rows * state_->spec.hidden));
  state_->embedding->apply(texts, hidden.data());
  BlockState each;
  each.lengths = lengths;
  for (const Block& block : state_->blocks)
    block.forward(hidden.data(), rows, &each, nullptr, state_->options.activations);
  std::vector<float> out(static_cast<size_t>(std::ssize(texts) * width()));
  state_->head->apply(hidden.data(), lengths, state_->options.activations, out.data());
  return out;
}

void normalize_vector(std::span<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  if (squares == 0) return;
  const double factor = 1 / std::sqrt(squares);
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) * factor);
}

std::vector<double> label_scores(std::span<const float> logits, LabelScores kind) {
  std::vector<double> scores(logits.begin(), logits.end());
  if (kind == LabelScores::raw) return scores;
  if (kind == LabelScores::sigmoid) {
    for (double& x : scores) x = 1 / (1 + std::exp(-x));
    return scores;
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& x : scores) sum += x = std::exp(x - largest);
  for (double& x : scores) x /= sum;
  return scores;
}

}  // namespace attar
