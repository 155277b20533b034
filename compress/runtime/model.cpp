#include "compress/runtime/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/base/mapped_pages.h"
#include "compress/base/progress.h"
#include "compress/runtime/load.h"
#include "compress/runtime/norm.h"
#include "compress/runtime/packed_cache.h"

namespace attar {

struct RuntimeModel::State {
  ModelSpec spec;
  RuntimeOptions options;
  DenseTensor positions;  // learned ones
  // Untied: rows are read from the mapped file as they are needed, or from packed codes.
  DenseTensor embedding;
  std::optional<PackedMatrix> embedding_codes;
  std::vector<std::unique_ptr<RopeTable>> ropes;
  std::vector<Block> blocks;
  Norm final_norm;
  Linear head;

  void load_embedding(const WeightSource& weights, PackedCache* cache);
};

void RuntimeModel::State::load_embedding(const WeightSource& weights, PackedCache* cache) {
  if (cache != nullptr && cache->has(spec.embedding)) {
    embedding_codes = cache->matrix(spec.embedding, spec.vocab, spec.hidden, weights);
    return;
  }
  const Weight weight = weights.load_codes(spec.embedding);
  require_matrix(spec.embedding, weight, spec.vocab, spec.hidden);
  release_mapped_pages();  // only some of its rows will be read
  if (const auto* dense = std::get_if<DenseTensor>(&weight)) {
    embedding = *dense;
    return;
  }
  embedding_codes = PackedMatrix::pack(weight);
  if (cache != nullptr) cache->keep(spec.embedding, *embedding_codes);
}

std::shared_ptr<const RuntimeModel> RuntimeModel::load(const Model& opened,
                                                       const RuntimeOptions& options) {
  auto state = std::make_shared<State>();
  state->spec = opened.spec;
  state->options = options;
  const ModelSpec& spec = state->spec;
  if (spec.task != Task::causal_lm)
    throw bad_input(fmt::format("{} is an encoder, which writes no text", spec.architecture),
                    opened.path.string(), "see `attar classify` and `attar embed`");
  const WeightSource& weights = *opened.weights;
  for (const auto& note : opened.notes) say(note);
  const auto cache = open_packed_cache(options.packed_cache, opened);

  for (const auto& rope : spec.ropes)
    state->ropes.push_back(std::make_unique<RopeTable>(rope, spec.max_positions));
  // The largest matrix first, while there is room for its codes beside its packed form.
  state->head = load_linear(spec.head, weights, nullptr, cache.get());
  state->positions = load_positions(spec, weights);
  state->final_norm = Norm(spec.final_norm, spec.hidden, weights);
  if (!spec.tied) state->load_embedding(weights, cache.get());
  for (size_t i = 0; i < spec.blocks.size(); ++i)
    state->blocks.emplace_back(spec, static_cast<int64_t>(i), weights,
                               std::map<std::string, Weight>{}, cache.get());
  if (cache) cache->finish();
  auto model = std::make_shared<RuntimeModel>();
  model->state_ = std::move(state);
  return model;
}

const ModelSpec& RuntimeModel::spec() const {
  return state_->spec;
}
const RuntimeOptions& RuntimeModel::options() const {
  return state_->options;
}
const Block& RuntimeModel::block(int64_t index) const {
  return state_->blocks[static_cast<size_t>(index)];
}
const RopeTable* RuntimeModel::rope(int64_t block) const {
  const int index = state_->spec.blocks[static_cast<size_t>(block)].attention.rope;
  return index < 0 ? nullptr : state_->ropes[static_cast<size_t>(index)].get();
}

uint64_t RuntimeModel::bytes() const {
  uint64_t total = state_->head.bytes() + state_->final_norm.bytes() +
                   state_->embedding.bytes.size() + state_->positions.bytes.size();
  if (state_->embedding_codes) total += state_->embedding_codes->bytes();
  for (const auto& block : state_->blocks) total += block.bytes();
  return total;
}

uint64_t RuntimeModel::step_bytes() const {
  uint64_t total = state_->head.bytes() + state_->final_norm.bytes();
  for (const auto& block : state_->blocks) total += block.step_bytes();
  return total;
}

void RuntimeModel::embed(std::span<const int32_t> ids, float* hidden, int64_t position) const {
  const ModelSpec& spec = state_->spec;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= spec.vocab)
      throw bad_input(
          fmt::format("id {} at index {} is outside the vocabulary of {}", ids[i], i, spec.vocab),
          "input ids", "was the text tokenized with this model's tokenizer?");
    float* out = hidden + static_cast<int64_t>(i) * spec.hidden;
    if (spec.tied) {
      state_->head.weight.row(ids[i], out);
    } else if (state_->embedding_codes) {
      state_->embedding_codes->row(ids[i], out);
    } else {
      const DenseTensor& table = state_->embedding;
      const size_t bytes = static_cast<size_t>(spec.hidden) * dtype_size(table.dtype);
      to_float32(table.bytes.subspan(static_cast<size_t>(ids[i]) * bytes, bytes), table.dtype,
                 std::span(out, static_cast<size_t>(spec.hidden)));
    }
    if (spec.embedding_scale != 1)
      for (int64_t d = 0; d < spec.hidden; ++d) out[d] *= spec.embedding_scale;
  }
  add_positions(spec, state_->positions, position, std::ssize(ids), hidden);
}

void RuntimeModel::head(const float* hidden, int64_t count, float* logits, int64_t position) const {
  const ModelSpec& spec = state_->spec;
  std::vector<float> normed(static_cast<size_t>(count * spec.hidden));
  state_->final_norm.apply(hidden, count, normed.data());
  matmul(normed.data(), count, state_->head.weight, logits, state_->options.activations);
  state_->head.add_bias(logits, count);
  for (int64_t row = 0; row < count; ++row) {
    const float* values = logits + row * spec.vocab;
    float zero = 0;  // 0 · x is 0 for finite x and NaN otherwise
    for (int64_t i = 0; i < spec.vocab; ++i) zero += 0.0f * values[i];
    if (zero != 0 || std::isnan(zero))
      throw failure(fmt::format("the logits at position {} are not finite", position + row), {},
                    "the model's weights or activations overflow float32");
  }
  if (spec.logit_softcap > 0) soft_cap(logits, count * spec.vocab, spec.logit_softcap);
}

}  // namespace attar
