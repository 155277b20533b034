#include <gmock/gmock.h>

#include <cstdlib>

#include "compress/base/error.h"
#include "compress/hub/address.h"
#include "compress/hub/settings.h"

namespace attar {
namespace {

TEST(HubAddress, Parts) {
  const HubAddress plain = parse_hub_address("hf://owner/name.v1_x-2");
  EXPECT_EQ(plain.owner, "owner");
  EXPECT_EQ(plain.name, "name.v1_x-2");
  EXPECT_EQ(plain.revision, "main");
  EXPECT_EQ(parse_hub_address("hf://owner/name@refs/pr/1").revision, "refs/pr/1");
}

TEST(HubAddress, RefusesWhatCouldLeadElsewhere) {
  for (const char* bad : {"hf://", "hf://name", "hf://owner/", "hf:///name", "hf://owner/name/more",
                          "hf://owner/na me", "hf://../name", "hf://owner/..", "hf://owner/name@",
                          "hf://owner/name@../x", "hf://owner/name@/x", "hf://owner/name@a//b",
                          "hf://owner/name?x", "hf://o--n/name", "http://owner/name"})
    EXPECT_THROW(parse_hub_address(bad), Error) << bad;
}

class Settings : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kNames) ::unsetenv(name);
    ::setenv("HOME", "/nowhere", 1);
  }
  void TearDown() override { SetUp(); }
  static constexpr const char* kNames[] = {"HF_ENDPOINT",   "HF_TOKEN",     "HF_TOKEN_PATH",
                                           "HF_HOME",       "HF_HUB_CACHE", "XDG_CACHE_HOME",
                                           "HF_HUB_OFFLINE"};
};

TEST_F(Settings, Places) {
  EXPECT_EQ(hub_settings().cache, "/nowhere/.cache/huggingface/hub");
  EXPECT_TRUE(hub_settings().endpoint.starts_with("https://"));
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(hub_settings().cache, "/xdg/huggingface/hub");
  ::setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_settings().cache, "/hf/hub");
  ::setenv("HF_HUB_CACHE", "/cache", 1);
  EXPECT_EQ(hub_settings().cache, "/cache");
  ::setenv("HF_ENDPOINT", "http://mirror:8080/", 1);
  EXPECT_EQ(hub_settings().endpoint, "http://mirror:8080");
  ::setenv("HF_ENDPOINT", "ftp://mirror", 1);
  EXPECT_THROW(hub_settings(), Error);
}

TEST_F(Settings, TokenAndOffline) {
  const fs::path home = fs::path(::testing::TempDir()) / "hub_settings_home";
  fs::create_directories(home);
  write_file(home / "token", "from-file\n");
  ::setenv("HF_HOME", home.c_str(), 1);
  EXPECT_EQ(hub_settings().token, "from-file");
  ::setenv("HF_TOKEN", " given ", 1);
  EXPECT_EQ(hub_settings().token, "given");
  ::setenv("HF_TOKEN", "two\nlines", 1);
  EXPECT_THROW(hub_settings(), Error);
  ::unsetenv("HF_TOKEN");
  EXPECT_FALSE(hub_settings().offline);
  ::setenv("HF_HUB_OFFLINE", "true", 1);
  EXPECT_TRUE(hub_settings().offline);
  ::setenv("HF_HUB_OFFLINE", "0", 1);
  EXPECT_FALSE(hub_settings().offline);
  fs::remove_all(home);
}

}  // namespace
}  // namespace attar
