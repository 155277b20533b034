// Downloads from a hub on this machine that redirects, refuses, stumbles, breaks off and lies.
#include <gmock/gmock.h>

#include "compress/base/error.h"
#include "compress/base/progress.h"
#include "compress/hub/pull.h"
#include "tests/hub/fake_hub.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using attar::testing::FakeHub;
using attar::testing::HttpRequest;
using attar::testing::HttpResponse;
using attar::testing::kCommit;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Pull : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("no_proxy", "*", 1);
    set_quiet(true);
    cache_ = attar::testing::make_test_directory("pull");
    settings_.endpoint = hub_.url();
    settings_.cache = cache_;
    settings_.first_pause = 0.001;
  }
  void TearDown() override { fs::remove_all(cache_); }

  PulledModel pull(const std::string& address = "hf://owner/name") {
    return pull_model(parse_hub_address(address), settings_);
  }
  /// The error's block; its exit code is `code`.
  std::string fails(ExitCode code, const std::string& address = "hf://owner/name") {
    try {
      pull(address);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.block();
      return error.block();
    }
    ADD_FAILURE() << "no error";
    return "";
  }
  void expect_whole(const PulledModel& model) {
    for (const std::string& name : model.files)
      EXPECT_EQ(attar::testing::slurp(model.directory / name), hub_.files[name]) << name;
  }
  fs::path repository() const { return cache_ / "models--owner--name"; }
  fs::path weights_blob() {
    return repository() / "blobs" / sha256(hub_.files["model.safetensors"]);
  }

  FakeHub hub_;
  HubSettings settings_;
  fs::path cache_;
};

TEST_F(Pull, FetchesWhatIsNeededIntoTheCacheOfAll) {
  const PulledModel model = pull();
  EXPECT_THAT(model.files, ElementsAre("config.json", "tokenizer.json", "model.safetensors"));
  expect_whole(model);
  EXPECT_EQ(model.directory, repository() / "snapshots" / kCommit);
  EXPECT_EQ(attar::testing::slurp(repository() / "refs/main"), kCommit);
  EXPECT_TRUE(fs::is_symlink(model.directory / "model.safetensors"));
  EXPECT_EQ(fs::read_symlink(model.directory / "model.safetensors").string(),
            "../../blobs/" + sha256(hub_.files["model.safetensors"]));
  EXPECT_EQ(model.downloaded, static_cast<int64_t>(hub_.files["config.json"].size() +
                                                   hub_.files["tokenizer.json"].size() +
                                                   hub_.files["model.safetensors"].size()));
  EXPECT_THAT(model.unhashed, ElementsAre("config.json", "tokenizer.json"));
  EXPECT_EQ(hub_.fetches("README.md") + hub_.fetches("pytorch_model.bin"), 0);

  EXPECT_EQ(pull().downloaded, 0);  // the second time only the listing is asked for
  EXPECT_EQ(hub_.fetches("model.safetensors"), 1);
}

TEST_F(Pull, Shards) {
  hub_.files["model-1.safetensors"] = "one";
  hub_.files["model-2.safetensors"] = "two";
  hub_.files["other.safetensors"] = "not in the index";
  hub_.files.erase("model.safetensors");
  hub_.files["model.safetensors.index.json"] =
      R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}})";
  const PulledModel model = pull();
  EXPECT_THAT(model.files, AllOf(Contains("model-1.safetensors"), Contains("model-2.safetensors"),
                                 ::testing::Not(Contains("other.safetensors"))));
  expect_whole(model);
  hub_.files.erase("model-2.safetensors");
  EXPECT_THAT(fails(ExitCode::bad_input), HasSubstr("the index names model-2.safetensors"));
}

TEST_F(Pull, Revisions) {
  pull("hf://owner/name@refs/pr/1");
  EXPECT_EQ(attar::testing::slurp(repository() / "refs/refs/pr/1"), kCommit);
  pull(std::string("hf://owner/name@") + kCommit);
  EXPECT_FALSE(fs::exists(repository() / "refs" / kCommit));
  EXPECT_THAT(fails(ExitCode::bad_input, "hf://owner/name@other"), HasSubstr("does not exist"));
  EXPECT_THAT(fails(ExitCode::bad_input, "hf://owner/none"), HasSubstr("owner/none"));
}

TEST_F(Pull, TheTokenGoesToTheHubAlone) {
  hub_.needed_token = "secret";
  EXPECT_THAT(fails(ExitCode::bad_input), AllOf(HasSubstr("no access"), HasSubstr("set HF_TOKEN")));
  settings_.token = "wrong";
  EXPECT_THAT(fails(ExitCode::bad_input), HasSubstr("not accepted"));
  settings_.token = "secret";
  expect_whole(pull());
  int store = 0;
  for (const HttpRequest& request : hub_.requests()) {
    if (!request.path.starts_with("/store/")) continue;
    ++store;
    EXPECT_EQ(request.header("authorization"), "") << request.path;
  }
  EXPECT_GT(store, 0);
}

TEST_F(Pull, Gated) {
  hub_.fault = [](const HttpRequest& request) -> std::optional<HttpResponse> {
    if (!request.path.ends_with("model.safetensors")) return {};
    return HttpResponse{403, {{"X-Error-Message", "Access is restricted."}}, ""};
  };
  EXPECT_THAT(fails(ExitCode::bad_input),
              AllOf(HasSubstr("Access is restricted."), HasSubstr("terms")));
}

TEST_F(Pull, ResumesWhatIsThere) {
  const std::string& weights = hub_.files["model.safetensors"];
  fs::create_directories(repository() / "blobs");
  write_file(weights_blob().string() + ".incomplete", weights.substr(0, 150'000));
  expect_whole(pull());
  bool resumed = false;
  for (const HttpRequest& request : hub_.requests())
    resumed = resumed ||
              (request.path.starts_with("/store/") && request.header("range") == "bytes=150000-");
  EXPECT_TRUE(resumed);
  EXPECT_FALSE(fs::exists(weights_blob().string() + ".incomplete"));
}

TEST_F(Pull, BeginsAnewWithoutRanges) {
  hub_.ranges = false;
  fs::create_directories(repository() / "blobs");
  write_file(weights_blob().string() + ".incomplete",
             hub_.files["model.safetensors"].substr(0, 1000));
  expect_whole(pull());
}

TEST_F(Pull, ADamagedPartIsFetchedAnew) {
  fs::create_directories(repository() / "blobs");
  write_file(weights_blob().string() + ".incomplete", std::string(1000, 'x'));
  expect_whole(pull());
  EXPECT_EQ(hub_.fetches("model.safetensors"), 2);
  write_file(weights_blob(), "too short");  // a blob of the wrong size is not believed either
  expect_whole(pull());
}

TEST_F(Pull, ConnectionsThatBreakOff) {
  int left = 12;  // more than attempts without progress
  hub_.change = [&](const HttpRequest& request, HttpResponse& response) {
    if (request.path.starts_with("/store/") && left-- > 0) response.cut_after = 10'000;
  };
  expect_whole(pull());
}

TEST_F(Pull, GivesUpWhenNothingComes) {
  hub_.change = [&](const HttpRequest& request, HttpResponse& response) {
    if (request.path.starts_with("/store/")) response.cut_after = 0;
  };
  settings_.attempts = 3;
  EXPECT_THAT(fails(ExitCode::failed), HasSubstr("after 3 attempts"));
  EXPECT_EQ(hub_.fetches("model.safetensors"), 3);
}

TEST_F(Pull, BodiesThatEndEarlyWithoutSayingSo) {
  hub_.change = [&, first = true](const HttpRequest& request, HttpResponse& response) mutable {
    if (!request.path.starts_with("/store/") || !std::exchange(first, false)) return;
    response.body.resize(50'000);  // and Content-Length says the same
  };
  expect_whole(pull());
}

TEST_F(Pull, WrongBytesAreNeverKept) {
  hub_.change = [&](const HttpRequest& request, HttpResponse& response) {
    if (request.path.starts_with("/store/")) response.body[response.body.size() / 2] = 'x';  // another one
  };
  EXPECT_THAT(fails(ExitCode::failed), HasSubstr("SHA-256"));
  EXPECT_FALSE(fs::exists(weights_blob()));
  EXPECT_FALSE(fs::exists(weights_blob().string() + ".incomplete"));
  EXPECT_FALSE(fs::exists(repository() / "refs/main"));
}

TEST_F(Pull, ErrorsThatPass) {
  int asked = 0;
  hub_.fault = [&](const HttpRequest&) -> std::optional<HttpResponse> {
    ++asked;
    if (asked == 1) return HttpResponse{429, {{"Retry-After", "0"}}, "slow down"};
    if (asked == 2) return HttpResponse{503, {}, ""};
    if (asked == 5) return HttpResponse{500, {}, ""};
    if (asked == 6) return HttpResponse{502, {}, ""};
    return {};
  };
  expect_whole(pull());
}

TEST_F(Pull, ErrorsThatStay) {
  hub_.fault = [&](const HttpRequest&) { return HttpResponse{500, {}, ""}; };
  EXPECT_THAT(fails(ExitCode::failed), AllOf(HasSubstr("500"), HasSubstr("after 5 attempts")));
  hub_.fault = [&](const HttpRequest&) {
    return HttpResponse{429, {{"Retry-After", "100000"}}, ""};
  };
  EXPECT_THAT(fails(ExitCode::failed), HasSubstr("100000 s"));
  settings_.endpoint = "http://127.0.0.1:1";
  settings_.attempts = 2;
  EXPECT_THAT(fails(ExitCode::failed), HasSubstr("owner/name at main"));
}

TEST_F(Pull, AnswersThatAreNone) {
  for (const char* body :
       {"{", "[]", "{}", R"({"sha": "../../x", "siblings": []})", R"({"sha": "abc"})",
        R"({"sha": "abc", "siblings": [{"rfilename": 7}]})"}) {
    hub_.fault = [&](const HttpRequest&) { return HttpResponse{200, {}, body}; };
    EXPECT_THROW(pull(), Error) << body;
  }
  hub_.fault = nullptr;
  hub_.files.erase("model.safetensors");
  EXPECT_THAT(fails(ExitCode::bad_input), HasSubstr("pytorch_model.bin"));
  hub_.files.erase("config.json");
  EXPECT_THAT(fails(ExitCode::bad_input), HasSubstr("no config.json"));
}

TEST_F(Pull, EndlessRedirects) {
  hub_.fault = [&](const HttpRequest& request) -> std::optional<HttpResponse> {
    if (!request.path.starts_with("/store/")) return {};
    return HttpResponse{302, {{"Location", request.path}}, ""};
  };
  settings_.attempts = 1;
  EXPECT_THAT(fails(ExitCode::failed), HasSubstr("redirects too often"));
  hub_.fault = [&](const HttpRequest& request) -> std::optional<HttpResponse> {
    if (!request.path.starts_with("/store/")) return {};
    return HttpResponse{302, {{"Location", "file:///etc/passwd"}}, ""};
  };
  EXPECT_THAT(fails(ExitCode::failed), HasSubstr("no http address"));
}

TEST_F(Pull, ListingsWithoutSizesAndHashes) {
  hub_.describes_files = false;  // then every file's headers are asked for
  const PulledModel model = pull();
  expect_whole(model);
  EXPECT_THAT(model.unhashed, ElementsAre("config.json", "tokenizer.json"));
  EXPECT_TRUE(fs::exists(weights_blob()));
}

TEST_F(Pull, Offline) {
  settings_.offline = true;
  EXPECT_THAT(fails(ExitCode::bad_input), HasSubstr("HF_HUB_OFFLINE"));
  settings_.offline = false;
  const PulledModel online = pull();
  settings_.offline = true;
  settings_.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(pull().directory, online.directory);
  EXPECT_EQ(pull(std::string("hf://owner/name@") + kCommit).directory, online.directory);
  fs::remove(weights_blob());
  EXPECT_THAT(fails(ExitCode::bad_input), HasSubstr("in the cache"));
}

TEST_F(Pull, TwoAtOnceFetchOnce) {
  hub_.change = [&](const HttpRequest& request, HttpResponse& response) {
    if (request.path.starts_with("/store/")) response.pause_ms = 2;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    try {
      pull();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = 1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  expect_whole(pull());
  EXPECT_EQ(hub_.fetches("model.safetensors"), 1);
}

}  // namespace
}  // namespace attar
