// attar pull, and addresses where commands and recipes name models, as a user would type them.
#include <gmock/gmock.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "compress/base/files.h"
#include "tests/hub/fake_hub.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using attar::testing::CommandResult;
using attar::testing::FakeHub;
using attar::testing::HttpRequest;
using attar::testing::HttpResponse;
using ::testing::HasSubstr;

class PullCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    place_ = attar::testing::make_test_directory("pull-command");
    for (const char* name : {"HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE"})
      ::unsetenv(name);
    ::setenv("HF_HOME", place_.c_str(), 1);
    ::setenv("HF_ENDPOINT", hub_.url().c_str(), 1);
    ::setenv("no_proxy", "*", 1);
  }
  void TearDown() override {
    ::unsetenv("HF_HUB_OFFLINE");
    fs::remove_all(place_);
  }
  static CommandResult attar(std::vector<std::string> arguments) {
    return attar::testing::attar(std::move(arguments));
  }
  FakeHub hub_;
  fs::path place_;
};

TEST_F(PullCommand, PrintsTheDirectory) {
  const auto first = attar({"pull", "hf://owner/name", "--json"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const auto json = nlohmann::json::parse(first.out);
  EXPECT_EQ(json["commit"], attar::testing::kCommit);
  EXPECT_EQ(json["files"].size(), 3u);
  const auto second = attar({"pull", "hf://owner/name"});
  EXPECT_EQ(second.out, json["path"].get<std::string>() + "\n");

  const auto copied = attar({"pull", "hf://owner/name", "--output", (place_ / "copy").string()});
  ASSERT_EQ(copied.exit_code, 0) << copied.err;
  EXPECT_FALSE(fs::is_symlink(place_ / "copy/config.json"));
  EXPECT_EQ(read_text(place_ / "copy/model.safetensors"), hub_.files["model.safetensors"]);
  EXPECT_EQ(attar({"pull", "hf://owner/name", "--output", (place_ / "copy").string()}).exit_code,
            2);
  EXPECT_EQ(attar({"pull", "owner/name"}).exit_code, 2);
  EXPECT_EQ(attar({"pull", "hf://owner/none"}).exit_code, 2);
}

TEST_F(PullCommand, AddressesNameModelsInCommands) {
  const auto online = attar({"tokenize", "hf://owner/name", "--text", "aa"});
  EXPECT_EQ(online.exit_code, 0) << online.err;
  EXPECT_EQ(online.out, "0 0\n");
  ::setenv("HF_HUB_OFFLINE", "1", 1);
  EXPECT_EQ(attar({"tokenize", "--tokenizer", "hf://owner/name", "--text", "a"}).out, "0\n");
  const auto text = attar({"tokenize", "hf://owner/name", "--text", "hf://owner/none"});
  EXPECT_THAT(text.err, ::testing::Not(HasSubstr("owner/none")));  // a text is no address
  EXPECT_EQ(attar({"tokenize", "hf://owner/none", "--text", "a"}).exit_code, 2);
}

TEST_F(PullCommand, WrongUsageDownloadsNothing) {
  EXPECT_EQ(attar({"tokenize", "hf://owner/name", "--bogus"}).exit_code, 2);
  EXPECT_TRUE(hub_.requests().empty());
}

TEST_F(PullCommand, RecipesNameModelsByAddress) {
  const auto recipe = [&](const std::string& model) {
    write_file(place_ / "recipe.yaml",
               "attar: 1\nname: x\noutput: out\nmodel: " + model +
                   "\nstages:\n  - {name: int4, type: quantize, method: rtn, scheme: W4A16}\n");
    return (place_ / "recipe.yaml").string();
  };
  const auto good = attar({"validate", recipe("hf://owner/name")});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_TRUE(hub_.requests().empty());  // validate reads no network
  EXPECT_EQ(attar({"validate", recipe("hf://owner")}).exit_code, 2);
  const auto plan = attar({"plan", recipe("hf://owner/name")});
  EXPECT_EQ(plan.exit_code, 2);  // the weights are no safetensors, as is seen once they are here
  EXPECT_EQ(hub_.fetches("model.safetensors"), 1);
  EXPECT_THAT(plan.err, HasSubstr(attar::testing::kCommit));
}

TEST_F(PullCommand, CtrlCKeepsWhatHasCome) {
  hub_.change = [](const HttpRequest& request, HttpResponse& response) {
    if (request.path.starts_with("/store/")) response.pause_ms = 100;
  };
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open("/dev/null", O_WRONLY), 2);
    const std::string program = std::string(ATTAR_BINARY_DIR) + "/attar";
    ::execl(program.c_str(), "attar", "pull", "hf://owner/name", nullptr);
    ::_exit(127);
  }
  const fs::path part = place_ / "hub/models--owner--name/blobs" /
                        (sha256(hub_.files["model.safetensors"]) + ".incomplete");
  for (int i = 0; i < 1000 && (!fs::exists(part) || fs::file_size(part) == 0); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ::kill(child, SIGINT);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  ASSERT_TRUE(fs::exists(part));
  const auto kept = fs::file_size(part);
  EXPECT_GT(kept, 0u);
  hub_.change = nullptr;
  EXPECT_EQ(attar({"pull", "hf://owner/name"}).exit_code, 0);
  EXPECT_EQ(hub_.requests().back().header("range"), "bytes=" + std::to_string(kept) + "-");
}

}  // namespace
}  // namespace attar
