// attar-run, and what other projects get of attar: the installed package, the header in C99.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/byte_model.h"

namespace attar {
namespace {

namespace fs = std::filesystem;
using testing::attar;
using testing::run_command;
using testing::slurp;

const fs::path kBuild = ATTAR_BINARY_DIR;

class Programs : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("deploy");
    model_ = testing::make_byte_model(root_ / "student");
  }
  void TearDown() override { fs::remove_all(root_); }

  static testing::CommandResult attar_run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kBuild / "attar-run");
    return run_command(arguments);
  }
  static void expect_same(std::vector<std::string> arguments) {
    const auto one = attar_run(arguments);
    arguments.insert(arguments.begin(), "generate");
    const auto other = attar(arguments);
    EXPECT_EQ(one.exit_code, other.exit_code);
    EXPECT_EQ(one.out, other.out);
    EXPECT_FALSE(one.out.empty());
  }

  fs::path root_, model_;
};

TEST_F(Programs, AttarRunIsOneSmallStaticFile) {
  EXPECT_LT(fs::file_size(kBuild / "attar-run"), 5'000'000u);
  const auto libraries = run_command({"/usr/bin/ldd", kBuild / "attar-run"});
  EXPECT_NE((libraries.out + libraries.err).find("not a dynamic executable"), std::string::npos)
      << libraries.out;
}

TEST_F(Programs, AttarRunWritesWhatAttarGenerateWrites) {
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {},
           {"--temperature", "2", "--seed", "7", "--top-k", "50"},
           {"--temperature", "1", "--top-p", "0.9", "--threads", "1"},
           {"--temperature", "1", "--min-p", "0.05", "--echo"},
           {"--chat", "--system", "Be brief."},
           {"--activations", "int8", "--kv-cache", "int8"}}) {
    std::vector<std::string> arguments = {model_, "--prompt", "né", "--max-new-tokens", "50"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_same(arguments);
  }
  const auto stories = testing::beside("models/stories260K-hf");
  ATTAR_NEEDS(stories);
  expect_same({stories, "--prompt", "Once upon a time", "--temperature", "0.8", "--seed", "1"});
}

TEST_F(Programs, AttarRunRunsOnEveryInstructionSet) {
  const std::vector<std::string> arguments = {model_, "--prompt", "abc", "--max-new-tokens", "20"};
  const std::string best = attar_run(arguments).out;
  for (const char* cpu : {"portable", "avx2"}) {
    ::setenv("ATTAR_CPU", cpu, 1);
    const auto result = attar_run(arguments);
    ::unsetenv("ATTAR_CPU");
    if (result.err.find("lacks") != std::string::npos) continue;  // this processor does
    EXPECT_EQ(result.out, best) << cpu;
  }
}

/// The first run writes the packed weights, the others read them, whatever instructions they use.
TEST_F(Programs, PackedWeightsKeptBesideTheModelGiveTheSameText) {
  const fs::path file = root_ / "student.gguf";
  const auto exported = attar({"export", model_, "--format", "gguf:q8_0", "--output", file});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  for (const auto& [model, kept] : {std::pair(model_, model_ / "attar-packed.bin"),
                                    std::pair(file, root_ / "student.gguf.attar-packed.bin")}) {
    std::vector<std::string> arguments = {model, "--prompt", "abc", "--max-new-tokens", "20"};
    const std::string plain = attar_run(arguments).out;
    EXPECT_FALSE(fs::exists(kept));
    arguments.push_back("--packed-cache");
    const auto first = attar_run(arguments);
    EXPECT_EQ(first.out, plain) << first.err;
    EXPECT_NE(first.err.find(kept.string()), std::string::npos) << first.err;
    ASSERT_TRUE(fs::exists(kept));
    for (const char* cpu : {"portable", "avx2", "avx512"}) {
      ::setenv("ATTAR_CPU", cpu, 1);
      const auto result = attar_run(arguments);
      ::unsetenv("ATTAR_CPU");
      if (result.err.find("lacks") != std::string::npos) continue;  // this processor does
      EXPECT_EQ(result.out, plain) << cpu << result.err;
      EXPECT_EQ(result.err.find("kept in"), std::string::npos) << "written again";
    }
    expect_same(arguments);
  }
}

TEST_F(Programs, AttarRunStartsAtOnceAndSaysWhatIsWrong) {
  auto shortest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(attar_run({model_, "--prompt", "x", "--max-new-tokens", "1"}).exit_code, 0);
    shortest = std::min(shortest, std::chrono::steady_clock::now() - start);
  }
  EXPECT_LT(shortest, std::chrono::milliseconds(50));
  EXPECT_EQ(attar_run({"--version"}).out.substr(0, 10), "attar-run ");
  EXPECT_EQ(attar_run({"--help"}).out.substr(0, 24), "usage: attar-run MODEL -");
  const auto option = attar_run({model_, "--promt", "x"});
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_NE(option.err.find("did you mean '--prompt'?"), std::string::npos) << option.err;
  const auto missing = attar_run({root_ / "none", "--prompt", "x"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.err.find("none"), std::string::npos);
}

TEST_F(Programs, TheHeaderIsC99) {
  const auto result = run_command({kBuild / "tests/deploy/c99_consumer", model_, "abc"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            attar({"generate", model_, "--prompt", "abc", "--max-new-tokens", "64"}).out);
  const auto missing = run_command({kBuild / "tests/deploy/c99_consumer", root_ / "none", "abc"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("error: "), std::string::npos);
}

/// What stands between ```c and ``` in the README.
std::string readme_example() {
  const std::string readme = slurp(fs::path(ATTAR_SOURCE_DIR) / "README.md");
  const size_t begin = readme.find("```c\n") + 5;
  return readme.substr(begin, readme.find("```", begin) - begin);
}

TEST_F(Programs, OtherProjectsFindTheInstalledPackage) {
  const auto succeed = [](const std::vector<std::string>& command) {
    const auto result = run_command(command);
    ASSERT_EQ(result.exit_code, 0) << command[1] << "\n" << result.out << result.err;
  };
  fs::copy(fs::path(ATTAR_SOURCE_DIR) / "tests/deploy/consumer", root_ / "source");
  std::ofstream(root_ / "source" / "readme.c") << readme_example();
  const std::string prefix = root_ / "prefix";
  succeed({ATTAR_CMAKE, "--install", kBuild, "--prefix", prefix, "--component", "runtime"});
  succeed({ATTAR_CMAKE, "-S", root_ / "source", "-B", root_ / "build",
           "-DCMAKE_PREFIX_PATH=" + prefix});
  succeed({ATTAR_CMAKE, "--build", root_ / "build"});
  const auto generated = [&](const std::string& prompt, const std::string& limit) {
    return attar({"generate", model_, "--prompt", prompt, "--max-new-tokens", limit}).out;
  };
  for (const char* program : {"write_c", "write_cpp"}) {
    const auto result = run_command({root_ / "build" / program, model_, "abc"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, generated("abc", "64")) << program;
  }
  const auto example = run_command({root_ / "build" / "readme"}, root_);
  EXPECT_EQ(example.exit_code, 0) << example.err;
  EXPECT_EQ(example.out, generated("Once upon a time", "256"));
  const auto libraries = run_command({"/usr/bin/ldd", root_ / "build" / "write_c"}).out;
  for (const char* absent : {"torch", "crypto", "fmt", "boost", "curl", "yaml"})
    EXPECT_EQ(libraries.find(absent), std::string::npos) << libraries;
  EXPECT_EQ(run_command({fs::path(prefix) / "bin/attar-run", "--version"}).exit_code, 0);
}

}  // namespace
}  // namespace attar
