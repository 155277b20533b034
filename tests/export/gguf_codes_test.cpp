// GGUF models run on the codes of their files, which stand for the same numbers as the floats that
// everything else sees.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "compress/architecture/storage.h"
#include "compress/base/random.h"
#include "compress/runtime/model.h"
#include "export/export.h"
#include "tests/formats/scratch.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

/// The model as it would be without codes.
class Widened : public WeightSource {
 public:
  explicit Widened(std::shared_ptr<const WeightSource> source) : source_(std::move(source)) {}
  const std::vector<WeightInfo>& list() const override { return source_->list(); }
  bool has(std::string_view name) const override { return source_->has(name); }
  Weight load(std::string_view name) const override {
    Weight weight = source_->load(name);
    const auto* q = std::get_if<QuantizedMatrix>(&weight);
    return q == nullptr ? weight : dense_tensor(dequantize(*q), {q->rows, q->cols});
  }

 private:
  std::shared_ptr<const WeightSource> source_;
};

std::vector<float> logits_of(const Model& opened) {
  const auto model = RuntimeModel::load(opened);
  const auto vocab = static_cast<size_t>(model->spec().vocab);
  Random random(3);
  std::vector<int32_t> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(static_cast<int32_t>(random.below(vocab)));
  std::vector<float> logits(ids.size() * vocab);
  Session session(model);
  session.advance_all(std::span(ids).first(8), logits.data());
  for (size_t i = 8; i < ids.size(); ++i)  // one row at a time
    session.advance_all(std::span(ids).subspan(i, 1), logits.data() + i * vocab);
  return logits;
}

class GgufMemory : public testing::ScratchTest {
 protected:
  /// The golden model's kind with random weights and rows wide enough for blocks of 256.
  Model wide_model(const std::string& name) {
    std::ifstream file(golden_path(name) / "config.json");
    auto config = nlohmann::ordered_json::parse(file);
    for (const auto& [key, size] : {std::pair("hidden_size", 256),
                                    {"n_embd", 256},
                                    {"intermediate_size", 256},
                                    {"n_inner", 256},
                                    {"linear_key_head_dim", 64},
                                    {"linear_value_head_dim", 64}})
      if (config.contains(key)) config[key] = size;
    const fs::path path = directory_ / "wide";
    fs::create_directories(path);
    const ModelSpec spec = read_model_spec(config, "config.json");
    std::vector<TensorPlan> plans;
    for (const TensorSpec& tensor : tensors(spec))
      plans.push_back({tensor.name, tensor.shape, DType::f32, {}});
    StoredWriter writer(spec, path, config, plans, {});
    Random random(7);
    for (const TensorSpec& tensor : tensors(spec)) {
      const bool norm = tensor.role == TensorRole::norm, matrix = tensor.shape.size() > 1;
      std::vector<float> values(static_cast<size_t>(element_count(tensor.shape)));
      for (float& value : values)
        value = static_cast<float>(random.normal() * (matrix ? 0.06 : 0.1) + (norm ? 1 : 0));
      writer.write(tensor.name, std::span<const float>(values));
    }
    writer.finish();
    return open_model(path);
  }

  Model exported(const Model& model, const std::string& format) {
    ExportOptions options;
    options.format = "gguf:" + format;
    options.max_kl = 1e9;
    StageReport report;
    export_model(model, options, {}, directory_ / (format + ".gguf"), report);
    return open_model(directory_ / (format + ".gguf"));
  }
};
class GgufCodes : public GgufMemory, public ::testing::WithParamInterface<const char*> {};
// Queries and keys with moved rows; three matrices in one, as rows and as columns; value heads in
// another order, an untied table.
INSTANTIATE_TEST_SUITE_P(Models, GgufCodes,
                         ::testing::Values("llama_gqa", "phi3_default", "gpt2", "qwen3_5_text"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(GgufCodes, ComputeWhatTheirFloatsCompute) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Model model = wide_model(GetParam());
  for (const auto& mixture : gguf_export::mixtures()) {
    if (!mixture.base.starts_with("Q")) continue;
    SCOPED_TRACE(mixture.name);
    const Model written = exported(model, std::string(mixture.name));
    for (const WeightInfo& info : written.weights->list()) {
      const Weight weight = written.weights->load_codes(info.name);
      const auto* q = std::get_if<QuantizedMatrix>(&weight);
      EXPECT_EQ(q != nullptr, info.format.starts_with("Q") && info.shape.size() == 2)
          << info.name << " " << info.format;
      if (q == nullptr) continue;
      EXPECT_EQ(dequantize(*q), written.weights->floats(info.name)) << info.name;
    }

    Model widened = written;
    widened.weights = std::make_shared<Widened>(written.weights);
    const auto logits = logits_of(written), expected = logits_of(widened);
    float largest = 0;
    for (const float logit : expected) largest = std::max(largest, std::abs(logit));
    for (size_t i = 0; i < logits.size(); ++i)
      ASSERT_NEAR(logits[i], expected[i], 1e-4f * largest) << i;
  }
}

TEST_F(GgufMemory, IsAboutTheSizeOfTheFile) {
  const Model model = wide_model("llama_gqa");
  for (const auto& [format, most] : {std::pair("q4_0", 1.1),
                                     {"q4_1", 1.1},
                                     {"q4_k_m", 1.25},
                                     {"q5_k_m", 1.6},
                                     {"q6_k", 1.4},
                                     {"q3_k_m", 1.4}}) {
    const Model written = exported(model, format);
    EXPECT_LT(static_cast<double>(RuntimeModel::load(written)->bytes()),
              most * static_cast<double>(written.weight_bytes))
        << format;
  }
}

}  // namespace
}  // namespace attar
