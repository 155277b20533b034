// How inputs enter products with quantized weights: what a whole model's logits make of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "compress/base/random.h"
#include "compress/runtime/model.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

/// Another source with some matrices rounded to integers; `widened`: given as floats again.
class RoundedSource : public WeightSource {
 public:
  RoundedSource(std::shared_ptr<const WeightSource> source, const ModelSpec& spec,
                const QuantLayout& layout, bool widened)
      : source_(std::move(source)), layout_(layout), widened_(widened) {
    for (const BlockSpec& block : spec.blocks)
      for (const auto& [name, linear] : block.linears()) names_.insert(linear->weight);
  }
  const std::vector<WeightInfo>& list() const override { return source_->list(); }
  bool has(std::string_view name) const override { return source_->has(name); }
  Weight load(std::string_view name) const override {
    const Weight weight = source_->load(name);
    if (!names_.contains(std::string(name))) return weight;
    const auto& dense = std::get<DenseTensor>(weight);
    const QuantizedMatrix q = rounded(dense);
    if (!widened_) return q;
    auto bytes = std::make_shared<std::vector<std::byte>>(q.codes.size() * sizeof(float));
    from_float32(dequantize(q), DType::f32, *bytes);
    return DenseTensor{DType::f32, dense.shape, *bytes, bytes};
  }

 private:
  QuantizedMatrix rounded(const DenseTensor& dense) const {
    const std::vector<float> w = dense.floats();
    QuantizedMatrix q;
    q.layout = layout_;
    q.rows = dense.shape[0];
    q.cols = dense.shape[1];
    const float most = static_cast<float>((1 << (layout_.bits - 1)) - 1);
    q.codes.resize(w.size());
    for (int64_t r = 0; r < q.rows; ++r)
      for (int64_t begin = 0; begin < q.cols; begin += q.group()) {
        const auto first = static_cast<size_t>(r * q.cols + begin);
        const auto last = first + static_cast<size_t>(std::min(q.group(), q.cols - begin));
        float largest = 1e-6f;
        for (size_t i = first; i < last; ++i) largest = std::max(largest, std::abs(w[i]));
        q.scales.push_back(largest / most);
        for (size_t i = first; i < last; ++i)
          q.codes[i] = static_cast<uint8_t>(std::nearbyint(w[i] / q.scales.back()) + most + 1);
      }
    return q;
  }

  std::shared_ptr<const WeightSource> source_;
  QuantLayout layout_;
  bool widened_;
  std::set<std::string> names_;
};

std::vector<float> logits_of(const std::string& name, const QuantLayout& layout, bool widened,
                             Activations activations, size_t piece = 40) {
  Model opened = golden_model(name);
  opened.weights = std::make_shared<RoundedSource>(opened.weights, opened.spec, layout, widened);
  const auto model = RuntimeModel::load(opened, {activations});
  Random random(5);
  std::vector<int32_t> ids;
  for (int i = 0; i < 40; ++i)
    ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(opened.spec.vocab))));
  std::vector<float> logits(ids.size() * static_cast<size_t>(opened.spec.vocab));
  Session session(model);
  for (size_t i = 0; i < ids.size(); i += piece)
    session.advance_all(std::span(ids).subspan(i, std::min(piece, ids.size() - i)),
                        logits.data() + i * static_cast<size_t>(opened.spec.vocab));
  return logits;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, static_cast<double>(std::abs(a[i] - b[i])));
  return largest;
}

constexpr std::array kModels = {"llama_gqa", "qwen3", "qwen3_next", "gemma2", "gpt_neox"};

TEST(Activations, ExactLogitsAreThoseOfTheDequantizedWeights) {
  for (const std::string name : kModels) {
    ATTAR_NEEDS_FIXTURE(name);
    for (const QuantLayout& layout : {QuantLayout{4, 32}, QuantLayout{8, 0}, QuantLayout{3, 16}}) {
      SCOPED_TRACE(name + " " + layout.name());
      const auto exact = logits_of(name, layout, false, Activations::exact);
      EXPECT_LT(largest_difference(exact, logits_of(name, layout, true, Activations::exact)), 1e-4);
      const auto int8 = logits_of(name, layout, false, Activations::int8);
      EXPECT_GT(largest_difference(exact, int8), 1e-4) << "int8 activations have no effect";
    }
  }
}

TEST(Activations, WeightsMadeForInt8InputsHaveThemWhateverIsChosen) {
  for (const std::string name : kModels) {
    SCOPED_TRACE(name);
    ATTAR_NEEDS_FIXTURE(name);
    QuantLayout weights_only{8, 0}, both = weights_only;
    both.int8_inputs = true;
    const auto exact = logits_of(name, both, false, Activations::exact);
    EXPECT_EQ(exact, logits_of(name, both, false, Activations::int8));
    EXPECT_EQ(exact, logits_of(name, both, false, Activations::exact, 7)) << "pieces of 7";
    const double difference =
        largest_difference(exact, logits_of(name, weights_only, false, Activations::exact));
    EXPECT_GT(difference, 1e-4) << "inputs were not rounded";
    // Where experts are chosen, a rounding may choose others.
    EXPECT_LT(difference, name == "qwen3_next" ? 4 : 1) << "inputs were rounded badly";
  }
}

}  // namespace
}  // namespace attar
