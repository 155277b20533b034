// Models written as GGUF and opened again compute what they computed before.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/formats/gguf/model_file.h"
#include "compress/formats/gguf/writer.h"
#include "compress/runtime/encoder.h"
#include "compress/runtime/model.h"
#include "export/export.h"
#include "tests/formats/scratch.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

std::vector<float> logits_of(const Model& model, std::span<const int32_t> ids) {
  std::vector<float> logits(ids.size() * static_cast<size_t>(model.spec.vocab));
  Session(RuntimeModel::load(model)).advance_all(ids, logits.data());
  return logits;
}

double worst_difference(std::span<const float> a, std::span<const float> b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

class GgufModel : public testing::ScratchTest, public ::testing::WithParamInterface<const char*> {
 protected:
  fs::path file(const std::string& format, StageReport& report) {
    const Model model = open_model(golden_path(GetParam()));
    ExportOptions options;
    options.format = "gguf:" + format;
    options.max_kl = 1e9;
    const fs::path path = directory_ / (format + ".gguf");
    export_model(model, options, {}, path, report);
    for (const Check& check : report.checks) {
      EXPECT_TRUE(check.passed) << check.detail;
    }
    return path;
  }
};
/// Qwen3-Next's reference has a layer without experts, which the architecture cannot say.
constexpr std::array kWritten = {
    "llama_gqa",    "llama_llama3rope", "llama_tied",  "mistral_swa",  "qwen2",         "qwen3",
    "smollm3_nope", "gemma2",           "gemma3_text", "phi3_default", "phi3_longrope", "gpt2",
    "gpt_neox",     "qwen3_5_text"};
INSTANTIATE_TEST_SUITE_P(Models, GgufModel, ::testing::ValuesIn(kWritten),
                         [](const auto& test) { return std::string(test.param); });

/// Ids as far as both models go: a file may be limited to a window's length.
TEST_P(GgufModel, LogitsOfTheReference) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Safetensors golden = Safetensors::open(golden_path(GetParam()) / "golden.safetensors");
  const TensorView& input = golden.at("input_ids");
  const auto ids = ids_of(input);
  const auto expected = golden.at("logits").floats();
  for (const auto& [format, tolerance] : {std::pair("f32", 2e-4), {"f16", 5e-2}, {"bf16", 2e-1}}) {
    StageReport report;
    const Model written = open_model(file(format, report));
    const auto length = static_cast<size_t>(std::min(input.shape[1], written.spec.max_positions));
    const auto logits = logits_of(written, std::span(ids).first(length));
    EXPECT_LT(worst_difference(logits, std::span(expected).first(logits.size())), tolerance)
        << format;
  }
}

TEST_P(GgufModel, WeightsComeBackUnderTheirNames) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Model model = open_model(golden_path(GetParam()));
  StageReport report;
  const Model written = open_model(file("f32", report));
  for (const TensorSpec& tensor : tensors(model.spec)) {
    const auto before = model.weights->floats(tensor.name);
    const auto after = written.weights->floats(tensor.name);
    ASSERT_EQ(after.size(), before.size()) << tensor.name;
    // Norms around one lose their last bits to it; queries may be scaled.
    if (model.spec.family.starts_with("gemma") || model.spec.family == "qwen3_5")
      EXPECT_LT(tensor.name.find("q_") == std::string::npos ? worst_difference(before, after) : 0,
                3e-7)
          << tensor.name;
    else
      EXPECT_EQ(after, before) << tensor.name;
  }
  EXPECT_EQ(written.spec.parameters(), model.spec.parameters());
}

/// Rows that stand elsewhere would be as far off as they are large.
TEST_P(GgufModel, QuantizedWeightsStandWhereTheyBelong) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Model model = open_model(golden_path(GetParam()));
  StageReport report;
  const Model written = open_model(file("q8_0", report));
  for (const TensorSpec& tensor : tensors(model.spec)) {
    const auto before = model.weights->floats(tensor.name);
    const auto after = written.weights->floats(tensor.name);
    if (model.spec.family.starts_with("gemma") && tensor.name.find("q_") != std::string::npos)
      continue;  // scaled, see above
    double error = 0, norm = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      error += std::pow(static_cast<double>(before[i]) - static_cast<double>(after[i]), 2);
      norm += std::pow(static_cast<double>(before[i]), 2);
    }
    EXPECT_LE(error, 1e-4 * norm + 1e-12) << tensor.name;
  }
}

TEST_P(GgufModel, EveryTypeRuns) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  for (const auto& mixture : gguf_export::mixtures()) {
    StageReport report;
    const fs::path path = file(std::string(mixture.name), report);
    const auto ids = std::vector<int32_t>{1, 5, 9, 13};
    for (const float logit : logits_of(open_model(path), ids)) ASSERT_TRUE(std::isfinite(logit));
    const auto opened = gguf::File::open(path);
    EXPECT_EQ(opened.metadata().integer("general.file_type"), mixture.file_type);
    fs::remove(path);
  }
}

/// An encoder's vectors, or a classifier's logits.
std::vector<float> encoded(const Model& model, std::span<const int32_t> ids) {
  const TextIds text{ids, {}};
  return EncoderModel::load(model)->run(std::span(&text, 1));
}

class GgufEncoder : public testing::ScratchTest,
                    public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, GgufEncoder, ::testing::Values("bert_cls", "bert_embed"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(GgufEncoder, ComputesTheSame) {
  const Model model = open_model(golden_path(GetParam()));
  ExportOptions options;
  options.format = "gguf:f32";
  StageReport report;
  export_model(model, options, {}, directory_ / "m.gguf", report);
  const Model written = open_model(directory_ / "m.gguf");
  EXPECT_EQ(written.spec.labels, model.spec.labels);
  const std::vector<int32_t> ids = {2, 9, 17, 31, 5, 3};
  EXPECT_LT(worst_difference(encoded(model, ids), encoded(written, ids)), 1e-6);
}

class GgufExport : public testing::ScratchTest {};

TEST_F(GgufExport, RefusesWhatItsReadersWouldComputeOtherwise) {
  ExportOptions options;
  options.format = "gguf:f32";
  StageReport report;
  const auto write = [&](const char* name) {
    return [&, name] {
      export_model(open_model(golden_path(name)), options, {}, directory_ / "m.gguf", report);
    };
  };
  testing::expect_bad_input(write("distilbert_cls"), {"ReLU"});
  testing::expect_bad_input(write("qwen3_next"), {"layers without experts"});
  EXPECT_FALSE(fs::exists(directory_ / "m.gguf"));
}

class GgufImport : public testing::ScratchTest {
 protected:
  fs::path exported(const std::string& model) {
    ExportOptions options;
    options.format = "gguf:f32";
    StageReport report;
    export_model(open_model(golden_path(model)), options, {}, directory_ / "m.gguf", report);
    return directory_ / "m.gguf";
  }

  /// The file with one key changed.
  fs::path with(const fs::path& path, const char* key, gguf::Value value) {
    const auto file = gguf::File::open(path);
    gguf::Metadata metadata = file.metadata();
    metadata.set(key, std::move(value));
    std::vector<gguf::Writer::Declaration> declared;
    for (const auto& tensor : file.tensors())
      declared.push_back({tensor.name, tensor.shape, tensor.type});
    gguf::Writer writer(directory_ / "changed.gguf", metadata, declared);
    for (const auto& tensor : file.tensors()) writer.write(tensor.name, tensor.bytes);
    writer.finish();
    return directory_ / "changed.gguf";
  }
};

TEST_F(GgufImport, NamesWhatItCannotFollow) {
  using testing::expect_bad_input;
  const fs::path path = exported("llama_gqa");
  const auto open = [&](const char* key, gguf::Value value) {
    return [this, &path, key, value] { open_model(with(path, key, value)); };
  };
  expect_bad_input(open("general.architecture", std::string("falcon")),
                   {"unknown architecture \"falcon\"", "known: llama, qwen2"});
  expect_bad_input(open("llama.block_count", std::string("two")), {"llama.block_count", "integer"});
  expect_bad_input(open("llama.block_count", uint32_t{7}), {"model.layers.2"});
  expect_bad_input(open("llama.attention.head_count", uint32_t{0}), {"llama.attention.head_count"});
  expect_bad_input(open("llama.attention.head_count", uint32_t{3}), {"attn_q"});
  expect_bad_input(open("llama.feed_forward_length", std::vector<uint32_t>{48, 64}),
                   {"llama.feed_forward_length", "differs between layers"});
  expect_bad_input(open("llama.rope.scaling.type", std::string("magic")), {"magic"});
  EXPECT_NO_THROW(open_model(with(path, "llama.attention.head_count", std::vector<int32_t>{4, 4})));
}

TEST_F(GgufImport, NamesWhatIsWrongWithRecurrentLayers) {
  using testing::expect_bad_input;
  const fs::path path = exported("qwen3_5_text");
  const auto open = [&](const char* key, gguf::Value value) {
    return [this, &path, key, value] { open_model(with(path, key, value)); };
  };
  expect_bad_input(open("qwen35.ssm.group_count", uint32_t{0}), {"qwen35.ssm.group_count"});
  expect_bad_input(open("qwen35.ssm.group_count", uint32_t{3}), {"cannot be shared by 3"});
  expect_bad_input(open("qwen35.ssm.group_count", uint32_t{4}), {"channels", "ssm_conv1d"});
  expect_bad_input(open("qwen35.ssm.time_step_rank", uint32_t{1u << 30}), {"beyond the limit"});
  expect_bad_input(open("qwen35.ssm.inner_size", uint32_t{33}), {"33 is no multiple of 4"});
  expect_bad_input(open("qwen35.nextn_predict_layers", uint32_t{4}), {"leaves no layer"});
  // Without its last block the model is a shorter one, and what is left over is said to be so.
  const Model shorter = open_model(with(path, "qwen35.nextn_predict_layers", uint32_t{1}));
  EXPECT_EQ(shorter.spec.blocks.size(), 3u);
  EXPECT_FALSE(shorter.notes.empty());
}

TEST_F(GgufImport, ADirectoryWithOneFileIsThatModel) {
  exported("qwen2");
  EXPECT_EQ(open_model(directory_).spec.family, "qwen2");
  fs::copy(directory_ / "m.gguf", directory_ / "n.gguf");
  testing::expect_bad_input([&] { open_model(directory_); }, {"two GGUF files"});
}

TEST_F(GgufImport, SimpleTypesStayQuantized) {
  const Model model = open_model(golden_path("llama_gqa"));
  for (const char* format : {"q8_0", "q4_0", "q5_0"}) {
    ExportOptions options;
    options.format = std::string("gguf:") + format;
    options.max_kl = 1e9;
    StageReport report;
    const fs::path path = directory_ / (std::string(format) + ".gguf");
    export_model(model, options, {}, path, report);
    const Model written = open_model(path);
    const Weight weight = written.weights->load("model.layers.0.mlp.up_proj.weight");
    ASSERT_TRUE(std::holds_alternative<QuantizedMatrix>(weight)) << format;
    const auto file = gguf::File::open(path);
    EXPECT_EQ(dequantize(std::get<QuantizedMatrix>(weight)),
              file.at("blk.0.ffn_up.weight").floats());
  }
}

}  // namespace
}  // namespace attar
