#include "compress/hub/settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "compress/base/error.h"

namespace attar {
namespace {

constexpr const char* kDefaultEndpoint = "https://huggingface.co";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string trimmed(std::string text) {
  const auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), blank));
  return text;
}

fs::path home() {
  if (const auto place = variable("HF_HOME"); !place.empty()) return place;
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface";
  const auto user = variable("HOME");
  if (user.empty())
    throw bad_input("there is no place for downloads: HOME is not set", "HF_HOME",
                    "set HF_HOME to a directory");
  return fs::path(user) / ".cache/huggingface";
}

std::string token() {
  if (const auto given = trimmed(variable("HF_TOKEN")); !given.empty()) return given;
  const auto named = variable("HF_TOKEN_PATH");
  const fs::path file = named.empty() ? home() / "token" : fs::path(named);
  std::error_code code;
  return fs::is_regular_file(file, code) ? trimmed(read_text(file)) : "";
}

bool is_on(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

}  // namespace

HubSettings hub_settings() {
  HubSettings settings;
  settings.endpoint = trimmed(variable("HF_ENDPOINT"));
  if (settings.endpoint.empty()) settings.endpoint = kDefaultEndpoint;
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  if (!settings.endpoint.starts_with("http://") && !settings.endpoint.starts_with("https://"))
    throw bad_input("the hub's endpoint is no http address: " + settings.endpoint, "HF_ENDPOINT");
  settings.token = token();
  if (std::any_of(settings.token.begin(), settings.token.end(), [](char c) { return c < 0x21; }))
    throw bad_input("the token holds blanks or control characters", "HF_TOKEN");
  const auto cache = variable("HF_HUB_CACHE");
  settings.cache = cache.empty() ? home() / "hub" : fs::path(cache);
  settings.offline = is_on(variable("HF_HUB_OFFLINE"));
  return settings;
}

}  // namespace attar
