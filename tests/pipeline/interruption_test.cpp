// Runs that are killed or interrupted in the middle: what they leave, and that resuming gives the
// same bytes. Each such run is a process of its own: this program, started again for one of the
// Child tests.
#include <csignal>

#include "compress/base/hash.h"
#include "compress/pipeline/manifest.h"
#include "tests/pipeline/fake_stages.h"

namespace attar::testing {
namespace {

constexpr const char* kPlace = "ATTAR_TEST_PLACE";

const std::string kSlow =
    "  - {name: a, type: scale, factor: 0.5}\n"
    "  - {name: b, type: scale, factor: 0.25, mode: slow, steps: 50}\n";

class InterruptionTest : public RunnerTest {
 protected:
  /// Starts this program for one test of the group below, in root_.
  pid_t start(const std::string& test) const {
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::setenv(kPlace, root_.c_str(), 1);
    const std::string filter = "--gtest_filter=DISABLED_Child." + test;
    ::execl("/proc/self/exe", "test_pipeline", filter.c_str(), "--gtest_also_run_disabled_tests",
            "--gtest_brief=1", nullptr);
    ::_exit(127);
  }

  /// Waits until stage b of the child has done `steps` steps.
  void wait_for_step(int64_t steps) const {
    for (int attempt = 0; attempt < 1000; ++attempt) {
      if (const auto place = scratch(); !place.empty()) {
        int64_t done = 0;
        std::ifstream(place / "step") >> done;
        if (done >= steps) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL() << "the child makes no progress";
  }

  fs::path scratch() const {
    const fs::path all = root_ / "run" / ".scratch";
    if (fs::exists(all))
      for (const auto& entry : fs::directory_iterator(all))
        if (entry.path().filename().string().starts_with("b-")) return entry.path();
    return {};
  }

  static int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  /// Runs the recipe undisturbed elsewhere and compares the models.
  void expect_same_as_undisturbed() const {
    const fs::path other = make_test_directory("undisturbed");
    prepare(other);
    run(recipe_in(other, kSlow, ""));
    for (const char* stage : {"a", "b"})
      EXPECT_EQ(read_manifest(root_ / "run" / stage)->artifact_hash(),
                read_manifest(other / "run" / stage)->artifact_hash());
    fs::remove_all(other);
  }
};

class DISABLED_Child : public ::testing::Test {
 protected:
  static Recipe recipe() {
    set_quiet(true);
    const fs::path root = std::getenv(kPlace);
    Problems problems;
    return load_recipe(root / "recipe.yaml", {}, {}, problems);
  }
};

TEST_F(DISABLED_Child, Run) {
  install_interrupt_handler();
  try {
    run_recipe(recipe(), fake_toolbox(), {});
  } catch (const Error& e) {
    ::_exit(static_cast<int>(e.code()));
  }
}

TEST_F(InterruptionTest, KilledRunResumesToTheSameBytes) {
  write_file(root_ / "recipe.yaml", recipe(kSlow).resolved_yaml);
  const pid_t child = start("Run");
  wait_for_step(5);
  ::kill(child, SIGKILL);
  EXPECT_EQ(wait_for(child), 128 + SIGKILL);
  EXPECT_TRUE(fs::exists(root_ / "run" / "a" / "manifest.json"));
  EXPECT_FALSE(fs::exists(root_ / "run" / "b"));
  run(recipe(kSlow));
  EXPECT_EQ(run_counts()["a"], 0) << "the finished stage is kept";
  EXPECT_EQ(run_counts()["b"], 1);
  EXPECT_TRUE(scratch().empty());
  for (const auto& entry : fs::directory_iterator(root_ / "run"))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".partial")) << entry.path();
  expect_same_as_undisturbed();
}

TEST_F(InterruptionTest, CtrlCEndsWith130AndIsResumable) {
  write_file(root_ / "recipe.yaml", recipe(kSlow).resolved_yaml);
  const pid_t child = start("Run");
  wait_for_step(3);
  ::kill(child, SIGINT);
  EXPECT_EQ(wait_for(child), 130);
  EXPECT_FALSE(fs::exists(root_ / "run" / "b"));
  EXPECT_FALSE(fs::exists(root_ / "run" / ".partial-b"));
  EXPECT_FALSE(scratch().empty()) << "checkpoints survive";
  EXPECT_EQ(report()["stages"][1]["status"], "failed");
  run(recipe(kSlow));
  EXPECT_LE(run_counts()["steps"], 47) << "it goes on from the step it had reached";
  expect_same_as_undisturbed();
}

TEST_F(InterruptionTest, TwoRunsDoNotShareAnOutput) {
  write_file(root_ / "recipe.yaml", recipe(kSlow).resolved_yaml);
  const pid_t child = start("Run");
  wait_for_step(1);
  const Error e = failed_run(recipe(kSlow));
  EXPECT_EQ(e.code(), ExitCode::bad_input);
  EXPECT_NE(std::string(e.what()).find("another run"), std::string::npos) << e.what();
  EXPECT_EQ(wait_for(child), 0);
}

TEST_F(InterruptionTest, ReplacementCutInTheMiddleIsPutBack) {
  run(recipe(kTwoStages));
  fs::rename(root_ / "run" / "a", root_ / "run" / ".replaced-a");
  run(recipe(kTwoStages));
  EXPECT_EQ(run_counts()["a"], 1);
}

}  // namespace
}  // namespace attar::testing
