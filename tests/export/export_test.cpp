// Models in other formats of Hugging Face directories, and codes that keep their values on the way.
#include "export/export.h"

#include <gtest/gtest.h>

#include "compress/architecture/storage.h"
#include "compress/base/random.h"
#include "compress/formats/gguf/file.h"
#include "tests/formats/scratch.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

class Export : public testing::ScratchTest {
 protected:
  /// llama_gqa with every linear layer rounded to `layout`.
  fs::path quantized(const QuantLayout& layout) const {
    const Model model = open_model(golden_path("llama_gqa"));
    std::vector<TensorPlan> plans;
    for (const TensorSpec& tensor : tensors(model.spec)) {
      TensorPlan plan{tensor.name, tensor.shape, DType::f32, {}};
      if (tensor.role == TensorRole::linear) plan.layout = layout;
      plans.push_back(plan);
    }
    const fs::path directory = directory_ / "quantized";
    fs::create_directories(directory);
    const bool levels = layout.levels != Levels::integers;
    StoredWriter writer(model.spec, directory, model.config, plans, {},
                        levels ? find_quant_format("bitsandbytes", "") : quant_formats().front());
    Random random(3);
    for (const TensorPlan& plan : plans) {
      if (!plan.layout) {
        writer.write(plan.name, model.weights->floats(plan.name));
        continue;
      }
      QuantizedMatrix q{layout, plan.shape[0], plan.shape[1], {}, {}, {}};
      q.codes.resize(static_cast<size_t>(q.rows * q.cols));
      for (uint8_t& code : q.codes) code = static_cast<uint8_t>(random.below(1ull << layout.bits));
      q.scales.assign(static_cast<size_t>(q.rows * q.groups()), 0.0078125f);
      if (!layout.symmetric) q.zeros.assign(q.scales.size(), 5);
      writer.write(plan.name, q);
    }
    writer.finish();
    return directory;
  }

  fs::path exported(const fs::path& from, const std::string& format, StageReport& report) const {
    ExportOptions options;
    options.format = format;
    const bool file = writes_one_file(format, "");
    const fs::path to = directory_ / (file ? "out.gguf" : "out-" + format);
    if (!file) fs::create_directories(to);
    export_model(open_model(from), options, {}, to, report);
    for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << format << check.detail;
    return to;
  }

  static void expect_equal(const fs::path& a, const fs::path& b) {
    const Model one = open_model(a), two = open_model(b);
    for (const TensorSpec& tensor : tensors(one.spec))
      EXPECT_EQ(one.weights->floats(tensor.name), two.weights->floats(tensor.name)) << tensor.name;
  }
};

TEST_F(Export, LayoutsHoldTheSameModel) {
  const fs::path from = quantized({4, 32, false, DType::f16});
  for (const char* format : {"compressed-tensors", "gptq", "awq", "hf"}) {
    StageReport report;
    expect_equal(from, exported(from, format, report));
  }
  const Model dense = open_model(directory_ / "out-hf");
  EXPECT_FALSE(dense.config.contains("quantization_config"));
}

TEST_F(Export, GgufKeepsCodesThatAreItsOwn) {
  const fs::path from = quantized({4, 32, true, DType::f16});
  StageReport report;
  const fs::path file = exported(from, "gguf:q4_0", report);
  EXPECT_EQ(report.facts["tensors_with_kept_codes"], 14);
  const Model one = open_model(from), two = open_model(file);
  for (const TensorSpec& tensor : tensors(one.spec))
    if (tensor.role == TensorRole::linear) {
      EXPECT_EQ(one.weights->floats(tensor.name), two.weights->floats(tensor.name)) << tensor.name;
    }
}

TEST_F(Export, LevelsAreNoIntegers) {
  const fs::path from = quantized({4, 64, true, DType::f32, false, Levels::nf4});
  StageReport report;
  expect_equal(from, exported(from, "bitsandbytes", report));
  for (const char* format : {"compressed-tensors", "gptq", "awq"})
    testing::expect_bad_input([&] { exported(from, format, report); }, {"nf4 levels", "q_proj"});
  testing::expect_bad_input(
      [&] {
        exported(quantized({4, 64, true, DType::f16}), "bitsandbytes", report);
      },
      {"int4 g64 sym", "nf4 or fp4"});

  // GGUF's blocks are rounded anew, though groups and bits would fit those of Q4_0.
  const Model one = open_model(quantized({4, 64, true, DType::f32, false, Levels::nf4}));
  StageReport written;
  gguf_export::write(one, *gguf_export::find_mixture("q4_0"), {}, directory_ / "nf4.gguf", written);
  EXPECT_EQ(written.facts["tensors_with_kept_codes"], 0);
  const Model two = open_model(directory_ / "nf4.gguf");
  for (const TensorSpec& tensor : tensors(one.spec)) {
    if (tensor.role != TensorRole::linear) continue;
    const auto a = one.weights->floats(tensor.name), b = two.weights->floats(tensor.name);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 0.0011) << tensor.name;
  }
}

TEST_F(Export, GgufGoesBackToADirectory) {
  StageReport report;
  const fs::path file = exported(golden_path("qwen3"), "gguf:f32", report);
  const fs::path back = exported(file, "hf", report);
  expect_equal(golden_path("qwen3"), back);
  EXPECT_TRUE(fs::exists(back / "tokenizer.gguf"));
}

TEST_F(Export, RefusesWhatAFormatCannotSay) {
  using testing::expect_bad_input;
  StageReport report;
  expect_bad_input([&] { exported(golden_path("llama_gqa"), "gptq", report); },
                   {"not quantized", "attar run"});
  const fs::path three = quantized({3, 32, true, DType::f16});
  expect_bad_input([&] { exported(three, "awq", report); }, {"3 bits", "q_proj"});
  expect_bad_input([&] { exported(three, "gguf:q4_k_n", report); }, {"gguf:q4_k_m"});
  EXPECT_TRUE(fs::is_empty(directory_ / "out-awq"));
}

}  // namespace
}  // namespace attar
