#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/runtime/model.h"

namespace attar {
namespace {

void require_room(const ModelSpec& spec, int64_t length) {
  if (length > spec.max_positions)
    throw bad_input(fmt::format("{} positions are more than the model's maximum of {}", length,
                                spec.max_positions),
                    "input ids", "use a shorter text or a smaller --window");
}

BlockState empty_state(const RuntimeModel& model) {
  BlockState state;
  state.kv = KvCache(model.options().kv);
  return state;
}

}  // namespace

Batch::Batch(std::shared_ptr<const RuntimeModel> model, int64_t sequences)
    : model_(std::move(model)),
      states_(model_->spec().blocks.size() * static_cast<size_t>(sequences), empty_state(*model_)),
      ids_(static_cast<size_t>(sequences)) {}

bool Batch::reads_again(int64_t sequence, int64_t length) const {
  const int64_t start = position(sequence);
  const auto& ropes = model_->spec().ropes;
  return start > 0 && std::any_of(ropes.begin(), ropes.end(), [&](const RopeSpec& rope) {
           return rope.regime(length) != rope.regime(start);
         });
}

std::vector<float> Batch::run(int64_t sequence, std::span<const int32_t> ids) {
  if (ids.empty()) throw bad_input("there are no ids to read", "input ids");
  const ModelSpec& spec = model_->spec();
  auto& own = ids_[static_cast<size_t>(sequence)];
  const int64_t length = std::ssize(own) + std::ssize(ids);
  require_room(spec, length);
  std::vector<int32_t> unread(ids.begin(), ids.end());
  const bool again = reads_again(sequence, length);
  if (again) unread.insert(unread.begin(), own.begin(), own.end());
  std::vector<float> hidden(unread.size() * static_cast<size_t>(spec.hidden));
  model_->embed(unread, hidden.data(), length - std::ssize(unread));
  for (size_t block = 0; block < spec.blocks.size(); ++block) {
    if (again) state(block, sequence) = empty_state(*model_);
    const auto index = static_cast<int64_t>(block);
    model_->block(index).forward(hidden.data(), std::ssize(unread), &state(block, sequence),
                                 model_->rope(index), model_->options().activations);
  }
  own.insert(own.end(), ids.begin(), ids.end());
  hidden.erase(hidden.begin(), hidden.end() - std::ssize(ids) * spec.hidden);
  return hidden;
}

std::vector<float> Batch::read(int64_t sequence, std::span<const int32_t> ids) {
  const std::vector<float> hidden = run(sequence, ids);
  const ModelSpec& spec = model_->spec();
  std::vector<float> logits(static_cast<size_t>(spec.vocab));
  model_->head(hidden.data() + (std::ssize(ids) - 1) * spec.hidden, 1, logits.data(),
               position(sequence) - 1);
  return logits;
}

void Batch::read_all(int64_t sequence, std::span<const int32_t> ids, float* logits) {
  const int64_t first = position(sequence);
  const std::vector<float> hidden = run(sequence, ids);
  model_->head(hidden.data(), std::ssize(ids), logits, first);
}

std::vector<float> Batch::step(std::span<const int64_t> sequences, std::span<const int32_t> ids) {
  const ModelSpec& spec = model_->spec();
  const auto vocab = static_cast<size_t>(spec.vocab), width = static_cast<size_t>(spec.hidden);
  std::vector<float> logits(sequences.size() * vocab), hidden;
  std::vector<size_t> rows;  // of those that go together
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int64_t start = position(sequences[i]);
    require_room(spec, start + 1);
    if (start == 0 || reads_again(sequences[i], start + 1)) {
      const auto alone = read(sequences[i], ids.subspan(i, 1));
      std::copy(alone.begin(), alone.end(),
                logits.begin() + static_cast<std::ptrdiff_t>(i * vocab));
      continue;
    }
    rows.push_back(i);
    hidden.resize(rows.size() * width);
    model_->embed(ids.subspan(i, 1), hidden.data() + (rows.size() - 1) * width, start);
  }
  if (rows.empty()) return logits;
  for (size_t block = 0; block < spec.blocks.size(); ++block) {
    std::vector<BlockState*> states;
    for (const size_t i : rows) states.push_back(&state(block, sequences[i]));
    BlockState together;
    together.sequences = states;
    const auto index = static_cast<int64_t>(block);
    model_->block(index).forward(hidden.data(), std::ssize(rows), &together, model_->rope(index),
                                 model_->options().activations);
  }
  std::vector<float> own(rows.size() * vocab);
  model_->head(hidden.data(), std::ssize(rows), own.data());
  for (size_t row = 0; row < rows.size(); ++row) {
    const size_t i = rows[row];
    std::copy_n(own.begin() + static_cast<std::ptrdiff_t>(row * vocab), vocab,
                logits.begin() + static_cast<std::ptrdiff_t>(i * vocab));
    ids_[static_cast<size_t>(sequences[i])].push_back(ids[i]);
  }
  return logits;
}

}  // namespace attar
