#include "quantize/stage.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <set>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/threads.h"
#include "export/export.h"
#include "tests/quantize/run_stage.h"

namespace attar {
namespace {

class QuantizeStage : public testing::Test {
 protected:
  const TemporaryDirectory home_;
  const fs::path ids_ = write_ids(home_.path(), 6, 48, 128);
  const fs::path model_ = golden_model("llama_gqa");

  StageRun run(const std::string& options, const fs::path& scratch = {}) const {
    return run_stage(quantize_stage(), model_, ids_, options, scratch);
  }
  /// The error's message, place and hint in one string; "" when there was none.
  std::string error(const std::string& options) const {
    try {
      run(options);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input) << e.block();
      return e.block();
    }
    return "";
  }
};

constexpr const char* kGptq = "method: gptq, group_size: 16, data: calibration";

TEST_F(QuantizeStage, GptqWritesAModelThatReadsBack) {
  const StageRun result = run(kGptq);
  EXPECT_TRUE(all_passed(result.report));
  EXPECT_EQ(result.report.checks.size(), 2u);
  EXPECT_EQ(result.report.layers.size(), 14u);
  for (const auto& row : result.report.layers) {
    EXPECT_EQ(row.at("method"), "gptq");
    EXPECT_EQ(row.at("tokens"), 6 * 48);
    EXPECT_EQ(row.at("damping"), 0.01);
    EXPECT_LT(row.at("relative_output_error").get<double>(), 0.05) << row.dump();
  }
  EXPECT_TRUE(result.report.fallbacks.empty());
  const ModelDirectory written = ModelDirectory::open(result.model);
  EXPECT_EQ(written.config.at("quantization_config").at("quant_method"), "compressed-tensors");
  const Weight weight = written.weights->load("model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(std::get<QuantizedMatrix>(weight).layout.group, 16);
}

TEST_F(QuantizeStage, EveryMethodAndLayoutReadsBack) {
  for (const std::string scheme : {"W4A16", "W4A16_ASYM", "W8A16", "W3A16", "W3A16_ASYM"})
    for (const std::string rest :
         {"method: rtn, group_size: 0", "method: rtn, group_size: 16, scale_search: mse",
          "method: gptq, group_size: -1, data: calibration, scale_search: hessian, refine: 3",
          "method: gptq, group_size: 16, data: calibration, act_order: none, true_sequential: true",
          "method: gptq, group_size: 16, data: calibration, correction: 0.5, scale_dtype: float32"})
      EXPECT_TRUE(all_passed(run("scheme: " + scheme + ", " + rest).report))
          << scheme << " " << rest;
}

TEST_F(QuantizeStage, EveryDecoderFamilyReadsBackUnderItsPublishedNames) {
  for (const std::string name : {"mistral_swa", "qwen2", "qwen3", "smollm3_nope", "gemma2",
                                 "gemma3_text", "phi3_longrope", "gpt2", "gpt_neox"}) {
    if (!has_fixture(name)) GTEST_SKIP() << "no reference model " << name;
    const StageRun result = run_stage(quantize_stage(), golden_model(name), ids_, kGptq);
    EXPECT_TRUE(all_passed(result.report)) << name << result.report.checks.back().detail;
    const auto source = ModelDirectory::open(golden_model(name)).weights,
               written = ModelDirectory::open(result.model).weights;
    EXPECT_EQ(written->list().size(), source->list().size()) << name;
    for (const WeightInfo& info : source->list())
      EXPECT_TRUE(written->has(info.name)) << name << " " << info.name;
  }
}

TEST_F(QuantizeStage, EmbeddingsAreQuantizedTiedOrNot) {
  for (const std::string name : {"llama_gqa", "qwen3", "gemma3_text"})
    for (const std::string choice : {"int8", "scheme"}) {
      if (!has_fixture(name)) GTEST_SKIP() << "no reference model " << name;
      const StageRun result = run_stage(quantize_stage(), golden_model(name), ids_,
                                        std::string(kGptq) + ", embedding: " + choice);
      EXPECT_TRUE(all_passed(result.report)) << name << result.report.checks.back().detail;
      const Model written = open_model(result.model);
      const Weight table = written.weights->load(written.spec.embedding);
      ASSERT_TRUE(std::holds_alternative<QuantizedMatrix>(table)) << name;
      EXPECT_EQ(std::get<QuantizedMatrix>(table).layout.bits, choice == "int8" ? 8 : 4);
      const Model before = open_model(golden_model(name));
      const auto exact = before.weights->floats(before.spec.embedding);
      const auto rounded = written.weights->floats(written.spec.embedding);
      double error = 0, norm = 0;
      for (size_t i = 0; i < exact.size(); ++i) {
        error += std::pow(static_cast<double>(exact[i] - rounded[i]), 2);
        norm += std::pow(static_cast<double>(exact[i]), 2);
      }
      EXPECT_LT(error, (choice == "int8" ? 1e-4 : 2e-2) * norm) << name;
    }
  EXPECT_NE(error(std::string(kGptq) + ", embedding: int8, format: gptq").find("no word for"),
            std::string::npos);
}

TEST_F(QuantizeStage, RotatedModelsKeepTheirFunctionAndReadBack) {
  for (const std::string name :
       {"llama_gqa", "mistral_swa", "qwen2", "qwen3", "smollm3_nope", "phi3_longrope"}) {
    if (!has_fixture(name)) GTEST_SKIP() << "no reference model " << name;
    const Model before = open_model(golden_model(name));
    const StageRun result = run_stage(quantize_stage(), golden_model(name), ids_,
                                      std::string(kGptq) + ", scheme: W8A16, rotate: hadamard");
    EXPECT_TRUE(all_passed(result.report)) << name << result.report.checks.back().detail;
    EXPECT_EQ(result.report.checks.front().name, "rotation");
    const Model after = open_model(result.model);
    EXPECT_FALSE(after.spec.tied);
    EXPECT_EQ(after.weights->floats(after.spec.final_norm.weight),
              std::vector<float>(static_cast<size_t>(after.spec.hidden), 1.0f));
    EXPECT_NE(before.weights->floats(before.spec.embedding),
              after.weights->floats(after.spec.embedding));
  }
  if (has_fixture("gemma2")) {
    try {
      run_stage(quantize_stage(), golden_model("gemma2"), ids_,
                std::string(kGptq) + ", rotate: hadamard");
      FAIL() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input);
      EXPECT_NE(e.block().find("a norm stands between"), std::string::npos) << e.block();
    }
  }
}

TEST_F(QuantizeStage, LayersThatFewTokensReachAreRoundedToNearest) {
  const StageRun result = run(std::string(kGptq) + ", min_tokens: 289");  // one more than there are
  EXPECT_EQ(result.report.fallbacks.size(), 14u);
  EXPECT_NE(result.report.fallbacks.front().why.find("288 calibration tokens"), std::string::npos);
  for (const auto& row : result.report.layers) EXPECT_EQ(row.at("method"), "rtn");
}

TEST_F(QuantizeStage, GgufSchemesReadBackForEveryFamily) {
  for (const std::string name :
       {"llama_gqa", "qwen3", "gemma2", "phi3_longrope", "gpt2", "gpt_neox", "qwen3_5_text"}) {
    if (!has_fixture(name)) GTEST_SKIP() << "no reference model " << name;
    const StageRun result = run_stage(quantize_stage(), golden_model(name), ids_,
                                      "method: gptq, scheme: Q4_0, data: calibration");
    EXPECT_TRUE(all_passed(result.report)) << name << result.report.checks.back().detail;
    EXPECT_TRUE(fs::exists(result.model / "model.gguf"));
    int64_t gptq = 0;
    for (const auto& row : result.report.layers) gptq += row.value("method", "") == "gptq";
    EXPECT_GE(gptq, 6) << name;
  }
}

TEST_F(QuantizeStage, ErrorFeedbackLowersTheOutputErrorOfGgufTypes) {
  const auto total = [&](const std::string& options) {
    double sum = 0;
    for (const auto& row : run(options + ", data: calibration").report.layers)
      sum += row.value("relative_output_error", 0.0);
    return sum;
  };
  for (const std::string scheme : {"Q4_0", "Q4_1", "Q5_0"}) {
    const double nearest = total("method: rtn, scheme: " + scheme);
    EXPECT_GT(nearest, 0);
    EXPECT_LT(total("method: gptq, scheme: " + scheme), 0.9 * nearest) << scheme;
  }
}

TEST_F(QuantizeStage, GgufSchemesRefuseWhatTheyCannotSay) {
  EXPECT_NE(error("method: rtn, scheme: Q4_K_M, group_size: 32").find("no choice of group_size"),
            std::string::npos);
  EXPECT_NE(error("method: awq, scheme: Q4_K_M, data: calibration").find("not for GGUF schemes"),
            std::string::npos);
  EXPECT_NE(error("method: rtn, scheme: Q4_K_M, format: gptq").find("cannot hold scheme"),
            std::string::npos);
  EXPECT_NE(error("method: rtn, scheme: W4A16, format: gguf").find("cannot hold scheme"),
            std::string::npos);
  EXPECT_NE(error("method: rtn, scheme: Q4_K_X").find("did you mean 'Q4_K_"), std::string::npos);
}

TEST_F(QuantizeStage, PartsOfOneTensorAreTreatedAlike) {
  if (!has_fixture("phi3_default")) GTEST_SKIP() << "no reference model phi3_default";
  const auto run_phi = [&](const std::string& rest) {
    return run_stage(quantize_stage(), golden_model("phi3_default"), ids_,
                     "method: rtn, group_size: 16, " + rest);
  };
  EXPECT_EQ(run_phi("targets: [qkv_proj]").report.layers.size(), 6u);
  EXPECT_EQ(run_phi("ignore: [gate_up_proj]").report.layers.size(), 10u);
  try {
    run_phi("ignore: [q_proj]");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bad_input);
    EXPECT_NE(e.block().find("stand in one tensor, model.layers.0.self_attn.qkv_proj"),
              std::string::npos)
        << e.block();
  }
}

TEST_F(QuantizeStage, RescalingMethodsReadBackAndSayWhatTheyDid) {
  for (const std::string rest :
       {"method: awq, scheme: W4A16_ASYM, group_size: 16",
        "method: smoothquant, scheme: W8A16, group_size: 0",
        "method: gptq, fold: awq, group_size: 16", "method: gptq, fold: smoothquant, group_size: 0",
        "method: awq, group_size: 16, propagate_error: false, true_sequential: false"}) {
    const StageRun result = run(rest + ", data: calibration");
    EXPECT_TRUE(all_passed(result.report)) << rest;
    EXPECT_TRUE(result.report.fallbacks.empty()) << rest;
    const auto& foldings = result.report.facts.at("foldings");
    ASSERT_EQ(foldings.size(), 8u) << rest;
    for (const auto& row : foldings) EXPECT_FALSE(row.contains("skipped")) << row.dump();
    const Model before = open_model(model_), after = open_model(result.model);
    const std::string norm = "model.layers.0.input_layernorm.weight";
    EXPECT_NE(before.weights->floats(norm), after.weights->floats(norm));
  }
  const StageRun some = run("method: awq, group_size: 16, data: calibration, ignore: [v_proj]");
  int skipped = 0;
  for (const auto& row : some.report.facts.at("foldings")) skipped += row.contains("skipped");
  EXPECT_EQ(skipped, 4);
}

TEST_F(QuantizeStage, PresetsGrowBetter) {
  const auto total = [](const StageRun& result) {
    double sum = 0;
    for (const auto& row : result.report.layers)
      sum += row.at("relative_output_error").get<double>();
    return sum;
  };
  const double fast = total(run(std::string(kGptq) + ", preset: fast"));
  const double usual = total(run(kGptq));
  const double best = total(run(std::string(kGptq) + ", preset: best, correction: 0"));
  EXPECT_LT(usual, fast);
  EXPECT_LT(best, 0.9 * usual);
}

TEST_F(QuantizeStage, OverridesGiveSomeLayersOtherLayouts) {
  const StageRun result =
      run("method: rtn, group_size: 16, overrides: [{targets: [down_proj], bits: 8, group_size: "
          "32}, {targets: ['*.mlp.*'], bits: 3, symmetric: false}]");
  EXPECT_TRUE(all_passed(result.report) || result.report.checks.size() == 1);
  const auto layout = [&](const std::string& name) {
    const ModelDirectory written = ModelDirectory::open(result.model);
    return std::get<QuantizedMatrix>(written.weights->load(name)).layout;
  };
  EXPECT_EQ(layout("model.layers.0.mlp.down_proj.weight").name(), "int8 g32 sym");
  EXPECT_EQ(layout("model.layers.1.mlp.up_proj.weight").name(), "int3 g16 asym");
  EXPECT_EQ(layout("model.layers.1.self_attn.q_proj.weight").name(), "int4 g16 sym");
  EXPECT_NE(error("method: rtn, overrides: [{targets: [dwn_proj], bits: 8}]").find("down_proj"),
            std::string::npos);
  EXPECT_NE(error("method: rtn, overrides: [{targets: [down_proj], bit: 8}]").find("bits"),
            std::string::npos);
}

TEST_F(QuantizeStage, ABudgetIsKeptAndSpent) {
  const std::string rest = ", group_size: 16, data: calibration, budget: {bits_per_weight: ";
  const StageRun result = run("method: gptq" + rest + "6.0}");
  EXPECT_TRUE(all_passed(result.report));
  const auto& budget = result.report.facts.at("budget");
  EXPECT_LE(result.report.facts.at("bits_per_quantized_weight").get<double>(), 6.0);
  EXPECT_GT(budget.at("bits_per_weight").get<double>(), 5.5);
  EXPECT_EQ(budget.at("units").size(), 8u);
  std::set<int> bits;
  for (const auto& unit : budget.at("units")) {
    bits.insert(unit.at("chosen_bits").get<int>());
    EXPECT_GT(unit.at("choices")[0].at("kl").get<double>(),
              unit.at("choices")[2].at("kl").get<double>());
  }
  EXPECT_GT(bits.size(), 1u);
  EXPECT_NE(error("method: gptq" + rest + "3.5}").find("least"), std::string::npos);
  EXPECT_NE(error("method: gptq" + rest + "6.0, bytes: 100}").find("either"), std::string::npos);
}

TEST_F(QuantizeStage, GptqErrsLessThanRounding) {
  const auto total = [](const StageRun& result) {
    double sum = 0;
    for (const auto& row : result.report.layers)
      sum += row.at("relative_output_error").get<double>();
    return sum;
  };
  const double nearest =
      total(run("method: rtn, scale_search: hessian, group_size: 16, data: calibration"));
  const double plain = total(run(std::string(kGptq) + ", preset: fast"));
  const double best = total(run(std::string(kGptq) + ", scale_search: hessian, refine: 4"));
  EXPECT_LT(plain, nearest);
  EXPECT_LT(best, plain * 0.9);
}

TEST_F(QuantizeStage, TargetsAndIgnoreChooseLayers) {
  const StageRun some =
      run("method: rtn, group_size: 16, targets: [down_proj, 're:.*layers\\.1\\.mlp']");
  EXPECT_EQ(some.report.layers.size(), 4u);
  const StageRun most = run("method: rtn, group_size: 16, ignore: ['*.self_attn.*', lm_head]");
  EXPECT_EQ(most.report.layers.size(), 6u);
  const StageRun split = run("method: rtn, group_size: 16, ignore: [q_proj]");
  EXPECT_NE(split.report.facts.at("notes").dump().find("partly quantized"), std::string::npos);
  EXPECT_NE(error("method: rtn, group_size: 16, targets: [dwn_proj]").find("down_proj"),
            std::string::npos);
}

TEST_F(QuantizeStage, HeadIsQuantizedWhenUntied) {
  const StageRun result = run(std::string(kGptq) + ", lm_head: quantize");
  EXPECT_EQ(result.report.layers.back().at("module"), "lm_head");
  EXPECT_TRUE(all_passed(result.report));
  try {
    run_stage(quantize_stage(), golden_model("llama_tied"), ids_,
              "method: rtn, group_size: 16, lm_head: quantize");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(e.block().find("tied"), std::string::npos);
  }
}

TEST_F(QuantizeStage, GroupsThatDoNotDivideAreAReportedChannelOrAnError) {
  const std::string message = error("method: rtn, group_size: 48, on_indivisible: error");
  EXPECT_NE(message.find("model.layers.0.self_attn.q_proj"), std::string::npos) << message;
  EXPECT_NE(message.find("nearest that divide it: 32, 64"), std::string::npos) << message;
  const StageRun result = run("method: rtn, group_size: 48");
  EXPECT_FALSE(result.report.fallbacks.empty());
  EXPECT_TRUE(all_passed(result.report) || result.report.checks.size() == 1);
  EXPECT_NE(error("method: rtn, group_size: 48, strict: true"), "");
}

TEST_F(QuantizeStage, OptionsThatMakeNoSenseAreRefused) {
  EXPECT_NE(error("method: gptq").find("calibration data"), std::string::npos);
  EXPECT_NE(error("method: rtn, scheme: W9A9").find("offered"), std::string::npos);
  EXPECT_NE(error("method: awq").find("calibration data"), std::string::npos);
  EXPECT_NE(error("method: rtn, scale_search: hessian").find("calibration data"),
            std::string::npos);
  EXPECT_NE(error("method: rtn, refine: 2").find("gptq"), std::string::npos);
  EXPECT_NE(error("method: rtn, group_siz: 16").find("group_size"), std::string::npos);
}

TEST_F(QuantizeStage, AQuantizedModelIsRefused) {
  const StageRun first = run("method: rtn, group_size: 16");
  try {
    run_stage(quantize_stage(), first.model, ids_, "method: rtn, group_size: 16");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bad_input);
    EXPECT_NE(e.block().find("quantized already"), std::string::npos);
  }
}

TEST_F(QuantizeStage, W8A8RoundsInputsToo) {
  const StageRun result = run("method: rtn, scheme: W8A8");
  EXPECT_TRUE(all_passed(result.report));
  const Model written = open_model(result.model);
  const Weight weight = written.weights->load("model.layers.0.mlp.up_proj.weight");
  const QuantLayout& layout = std::get<QuantizedMatrix>(weight).layout;
  EXPECT_TRUE(layout.int8_inputs);
  EXPECT_EQ(layout.group, 0);
  EXPECT_EQ(written.config.at("quantization_config").at("format"), "int-quantized");
  EXPECT_NE(error("method: rtn, scheme: W8A8, group_size: 32").find("group_size"),
            std::string::npos);
  EXPECT_NE(error("method: rtn, scheme: W8A8, format: gptq").find("inputs are rounded"),
            std::string::npos);
}

TEST_F(QuantizeStage, AGgufFileIsDecodedFirstWhichIsSaid) {
  ExportOptions options;
  options.format = "gguf:q8_0";
  options.max_kl = 1e9;
  StageReport exported;
  const fs::path file = home_.path() / "model.gguf";
  export_model(open_model(golden_model("llama_tied")), options, {}, file, exported);
  const StageRun result = run_stage(quantize_stage(), file, ids_, kGptq);
  EXPECT_TRUE(all_passed(result.report));
  ASSERT_EQ(result.report.fallbacks.size(), 1u);
  EXPECT_EQ(result.report.fallbacks[0].what, "decoded to float32 first");
  EXPECT_NE(result.report.fallbacks[0].why.find("Q8_0"), std::string::npos);
}

TEST_F(QuantizeStage, DenseTensorsMayBecomeHalfPrecision) {
  const StageRun result = run("method: rtn, group_size: 16, dense_dtype: bfloat16");
  const ModelDirectory written = ModelDirectory::open(result.model);
  EXPECT_EQ(std::get<DenseTensor>(written.weights->load("model.norm.weight")).dtype, DType::bf16);
}

TEST_F(QuantizeStage, ThreadsDoNotChangeTheBytes) {
  const int before = thread_count();
  for (const std::string& options :
       {std::string(kGptq) + ", preset: best, correction: 0.5",
        std::string("method: awq, scheme: W3A16_ASYM, group_size: 0, data: calibration"),
        std::string(kGptq) + ", fold: smoothquant, true_sequential: false, budget: "
                             "{bits_per_weight: 5.5}"}) {
    set_thread_count(1);
    const std::string one = sha256_file(run(options).model / "model.safetensors");
    set_thread_count(3);
    const std::string three = sha256_file(run(options).model / "model.safetensors");
    EXPECT_EQ(one, three) << options;
  }
  set_thread_count(before);
}

/// Runs the stage in a child that is killed after `delay` microseconds; false when it had finished.
bool run_and_kill(const std::function<void()>& body, useconds_t delay) {
  const pid_t child = ::fork();
  if (child == 0) {
    set_thread_count(1);  // the parent's workers do not exist here
    body();
    ::_exit(0);
  }
  ::usleep(delay);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

TEST_F(QuantizeStage, AKilledRunResumesToTheSameBytes) {
  const std::string options = std::string(kGptq) +
                              ", preset: best, checkpoint_seconds: 0, fold: awq, "
                              "correction: 0.5, lm_head: quantize";
  const StageRun whole = run(options);
  const std::string expected = sha256_file(whole.model / "model.safetensors");
  set_thread_count(1);
  Random random(5);
  int killed = 0;
  const fs::path scratch = home_.path() / "scratch";
  for (int i = 0; i < 20; ++i) {
    fs::create_directories(scratch);
    const auto delay = static_cast<useconds_t>(random.below(60000));
    const auto work = [&] {
      ::setenv("TMPDIR", home_.path().c_str(), 1);  // what a killed process leaves goes with it
      run(options, scratch);
    };
    killed += run_and_kill(work, delay);
    const StageRun resumed = run(options, scratch);
    EXPECT_EQ(sha256_file(resumed.model / "model.safetensors"), expected)
        << "killed after " << delay;
    EXPECT_EQ(resumed.report.layers, whole.report.layers);
    fs::remove_all(scratch);
  }
  EXPECT_GT(killed, 0);
}

TEST_F(QuantizeStage, EstimateMatchesWhatIsWritten) {
  for (const std::string options :
       {"method: rtn, group_size: 16", "method: rtn, scheme: W3A16_ASYM, group_size: 0"}) {
    const StageRun result = run(options);
    Problems problems;
    const Recipe recipe =
        parse_recipe("attar: 1\nname: t\noutput: o\nmodel: " + model_.string() +
                         "\nstages:\n  - {name: it, type: quantize, " + options + "}\n",
                     "r.yaml", home_.path(), {}, std::nullopt, problems);
    problems.throw_if_any();
    const ModelDirectory source = ModelDirectory::open(model_),
                         written = ModelDirectory::open(result.model);
    const StageEstimate estimate = quantize_stage().estimate(
        recipe.stages.at(0), recipe, {source.config, 82240, source.weight_bytes});
    uint64_t bytes = 0;
    for (const WeightInfo& info : written.weights->list()) bytes += info.bytes;
    EXPECT_NEAR(static_cast<double>(estimate.bytes), static_cast<double>(bytes), 14 * 16.0);
    EXPECT_GT(estimate.peak_bytes, 0u);
  }
}

}  // namespace
}  // namespace attar
