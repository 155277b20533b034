#include "quantize/stage.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/threads.h"
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

TEST_F(QuantizeStage, GptqErrsLessThanRounding) {
  const auto total = [](const StageRun& result) {
    double sum = 0;
    for (const auto& row : result.report.layers)
      sum += row.at("relative_output_error").get<double>();
    return sum;
  };
  const double nearest =
      total(run("method: rtn, scale_search: hessian, group_size: 16, data: calibration"));
  const double plain = total(run(kGptq));
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
  EXPECT_NE(error("method: rtn, scheme: W8A8").find("offered"), std::string::npos);
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

TEST_F(QuantizeStage, DenseTensorsMayBecomeHalfPrecision) {
  const StageRun result = run("method: rtn, group_size: 16, dense_dtype: bfloat16");
  const ModelDirectory written = ModelDirectory::open(result.model);
  EXPECT_EQ(std::get<DenseTensor>(written.weights->load("model.norm.weight")).dtype, DType::bf16);
}

TEST_F(QuantizeStage, ThreadsDoNotChangeTheBytes) {
  const std::string options =
      std::string(kGptq) + ", scale_search: hessian, refine: 2, correction: 0.5";
  const int before = thread_count();
  set_thread_count(1);
  const std::string one = sha256_file(run(options).model / "model.safetensors");
  set_thread_count(3);
  const std::string three = sha256_file(run(options).model / "model.safetensors");
  set_thread_count(before);
  EXPECT_EQ(one, three);
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
                              ", scale_search: hessian, refine: 2, checkpoint_seconds: 0, "
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
    killed += run_and_kill([&] { run(options, scratch); }, delay);
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
