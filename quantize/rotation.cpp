#include "quantize/rotation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"

namespace attar {
namespace {

using Signs = std::vector<float>;

Signs random_signs(int64_t count, Random& random) {
  Signs signs(static_cast<size_t>(count));
  for (float& sign : signs) sign = random.next() >> 63 ? -1.0f : 1.0f;
  return signs;
}

/// A matrix [rows, cols] whose rows, or columns, are rotated.
void rotate_rows(std::vector<float>& w, int64_t cols, const Signs& signs) {
  parallel_for(std::ssize(w) / cols, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t c = 0; c < cols; c += std::ssize(signs))  // heads side by side
        rotate(std::span(w).subspan(static_cast<size_t>(row * cols + c), signs.size()), signs);
  });
}

void rotate_columns(std::vector<float>& w, int64_t cols, const Signs& signs) {
  const int64_t rows = std::ssize(w) / cols, length = std::ssize(signs);
  parallel_for(cols, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> column(signs.size());
    for (int64_t c = begin; c < end; ++c)
      for (int64_t first = 0; first < rows; first += length) {
        for (int64_t r = 0; r < length; ++r)
          column[static_cast<size_t>(r)] = w[static_cast<size_t>((first + r) * cols + c)];
        rotate(column, signs);
        for (int64_t r = 0; r < length; ++r)
          w[static_cast<size_t>((first + r) * cols + c)] = column[static_cast<size_t>(r)];
      }
  });
}

/// What becomes of one tensor.
struct Change {
  std::string norm;  // whose weight its columns take
  float norm_offset = 0;
  const Signs *input = nullptr, *output = nullptr;  // of its columns, of its rows
  bool ones = false;                                // a norm that has been folded away
  bool keeps_type = false;                          // a table: not made float32
};

class RotatedWeights : public WeightSource {
 public:
  RotatedWeights(const Model& model, uint64_t seed)
      : weights_(model.weights), list_(weights_->list()) {
    const ModelSpec& spec = model.spec;
    Random random(seed);
    hidden_ = random_signs(spec.hidden, random);
    source_[kHead] = spec.head.weight;
    if (spec.tied) {
      const auto table = std::find_if(list_.begin(), list_.end(), [&](const WeightInfo& info) {
        return info.name == spec.embedding;
      });
      WeightInfo head = *table;
      head.name = kHead;
      list_.push_back(head);
    }
    const std::string head = spec.tied ? kHead : spec.head.weight;
    changes_[spec.embedding].input = &hidden_;
    read(head, spec.final_norm);
    changes_[spec.embedding].keeps_type = true;
    changes_[head].keeps_type = head == kHead;
    for (const BlockSpec& block : spec.blocks) {
      const AttentionSpec& a = block.attention;
      for (const LinearSpec* reader : {&a.q, &a.k, &a.v})
        read(reader->weight, block.attention_norm);
      for (const LinearSpec* reader : {&block.mlp.gate, &block.mlp.up})
        if (!reader->weight.empty()) read(reader->weight, block.mlp_norm);
      write(a.o);
      write(block.mlp.down);
      if (a.gated || a.o_norm.kind != NormKind::none) continue;
      const Signs* heads = &heads_.emplace_back(random_signs(a.head_dim, random));
      changes_[a.v.weight].output = heads;
      if (!a.v.bias.empty()) changes_[a.v.bias].output = heads;
      changes_[a.o.weight].input = heads;
    }
  }

  static constexpr const char* kHead = "lm_head.weight";

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override {
    return std::any_of(list_.begin(), list_.end(),
                       [&](const WeightInfo& info) { return info.name == name; });
  }

  Weight load(std::string_view name) const override {
    const auto source = source_.find(name);
    const Weight weight = weights_->load(source == source_.end() ? name : source->second);
    const auto found = changes_.find(name);
    if (found == changes_.end()) return weight;
    const auto& dense = std::get<DenseTensor>(weight);
    std::vector<float> values = dense.floats();
    require_finite(name, values);
    const Change& change = found->second;
    if (change.ones) {
      std::fill(values.begin(), values.end(), 1 - change.norm_offset);
      return dense_tensor(values, dense.shape, dense.dtype);
    }
    const int64_t cols = dense.shape.size() == 2 ? dense.shape.back() : 1;
    if (!change.norm.empty()) fold_norm(change, cols, values);
    if (change.output != nullptr) rotate_columns(values, cols, *change.output);
    if (change.input != nullptr) rotate_rows(values, cols, *change.input);
    return dense_tensor(values, dense.shape, change.keeps_type ? dense.dtype : DType::f32);
  }

 private:
  void read(const std::string& weight, const NormSpec& norm) {
    Change& change = changes_[weight];
    change.norm = norm.weight;
    change.norm_offset = norm.weight_offset;
    change.input = &hidden_;
    Change& folded = changes_[norm.weight];
    folded.ones = true;
    folded.norm_offset = norm.weight_offset;
  }
  void write(const LinearSpec& linear) {
    changes_[linear.weight].output = &hidden_;
    if (!linear.bias.empty()) changes_[linear.bias].output = &hidden_;
  }
  void fold_norm(const Change& change, int64_t cols, std::vector<float>& values) const {
    const std::vector<float> norm = weights_->floats(change.norm);
    parallel_for(std::ssize(values) / cols, 64, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t c = 0; c < cols; ++c)
          values[static_cast<size_t>(row * cols + c)] *=
              norm[static_cast<size_t>(c)] + change.norm_offset;
    });
  }

  std::shared_ptr<const WeightSource> weights_;
  std::vector<WeightInfo> list_;
  Signs hidden_;
  std::deque<Signs> heads_;  // of each block; places stay
  std::map<std::string, Change, std::less<>> changes_;
  std::map<std::string, std::string, std::less<>> source_;
};

std::string objection_to(const BlockSpec& block) {
  const auto rms = [](const NormSpec& norm) {
    return norm.kind == NormKind::rms && norm.bias.empty();
  };
  if (block.residual != Residual::pre_norm || block.post_attention_norm.kind != NormKind::none ||
      block.post_mlp_norm.kind != NormKind::none)
    return "a norm stands between a layer and the hidden states";
  if (!rms(block.attention_norm) || !rms(block.mlp_norm))
    return "its norms subtract a mean, or have none to fold";
  if (block.delta_net || block.moe) return "recurrent layers and experts are not covered";
  return {};
}

}  // namespace

void rotate(std::span<float> x, std::span<const float> signs) {
  const auto size = x.size();
  size_t block = 1;  // the largest power of two that divides the length
  while (size % (2 * block) == 0) block *= 2;
  for (size_t i = 0; i < size; ++i) x[i] *= signs[i];
  for (size_t half = 1; half < block; half *= 2)
    for (size_t first = 0; first < size; first += 2 * half)
      for (size_t i = first; i < first + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
  const float scale = 1 / std::sqrt(static_cast<float>(block));
  for (float& value : x) value *= scale;
}

std::string why_not_rotated(const ModelSpec& spec) {
  if (spec.task != Task::causal_lm) return "it is an encoder";
  if (!spec.positions.empty()) return "learned positions are added to its hidden states";
  if (spec.final_norm.kind != NormKind::rms || !spec.final_norm.bias.empty())
    return "its final norm subtracts a mean";
  for (const BlockSpec& block : spec.blocks)
    if (std::string why = objection_to(block); !why.empty()) return why;
  return {};
}

Model rotated(const Model& model, uint64_t seed, const std::string& where) {
  if (const std::string why = why_not_rotated(model.spec); !why.empty())
    throw bad_input(fmt::format("{} cannot be rotated: {}", model.spec.architecture, why), where,
                    "rotate: none");
  Model result = model;
  result.weights = std::make_shared<RotatedWeights>(model, seed);
  if (model.spec.tied) {
    result.spec.tied = false;
    result.spec.head.weight = RotatedWeights::kHead;
    result.config["tie_word_embeddings"] = false;
  }
  if (model.spec.stored.empty()) result.stored = result.weights;
  return result;
}

}  // namespace attar
