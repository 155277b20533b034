#include "compress/hub/listing.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/formats/json.h"

namespace attar {
namespace {

constexpr std::array kNeeded = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "quantize_config.json",
    "quant_config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
};

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool is_needed(const std::string& name) {
  for (const std::string_view known : kNeeded)
    if (name == known) return true;
  const bool top = name.find('/') == std::string::npos;
  return (top && (name.starts_with("LICENSE") || name.starts_with("NOTICE") ||
                  name.ends_with(".tiktoken"))) ||
         (name.starts_with("additional_chat_templates/") && name.find("..") == std::string::npos &&
          std::count(name.begin(), name.end(), '/') == 1);
}

bool is_hexadecimal(const std::string& text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string text_at(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

/// An ETag header without its quotes and W/; "" for what can't name a file.
std::string plain_etag(std::string text) {
  if (text.starts_with("W/")) text.erase(0, 2);
  std::erase(text, '"');
  const bool safe =
      !text.empty() && text.size() <= 200 && text[0] != '.' &&
      std::all_of(text.begin(), text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
      });
  return safe ? text : "";
}

HubFile read_file_entry(const nlohmann::json& entry) {
  HubFile file;
  file.name = text_at(entry, "rfilename");
  if (const auto size = entry.find("size"); size != entry.end())
    file.size = json_integer(*size).value_or(-1);
  const std::string blob = text_at(entry, "blobId");
  if (const auto large = entry.find("lfs"); large != entry.end() && large->is_object()) {
    file.sha256 = text_at(*large, "sha256");
    if (file.sha256.empty()) file.sha256 = text_at(*large, "oid");
    if (const auto size = large->find("size"); size != large->end())
      file.size = json_integer(*size).value_or(file.size);
    if (!is_hexadecimal(file.sha256, 64)) file.sha256.clear();
    file.etag = file.sha256;
  } else if (is_hexadecimal(blob, 40)) {
    file.blob_sha1 = file.etag = blob;
  }
  return file;
}

void wait(double seconds) {
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                       std::chrono::duration<double>(seconds));
  while (std::chrono::steady_clock::now() < end) {
    check_interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

/// Whole seconds of a Retry-After header; -1 when there is none (or a date).
double retry_after(const HttpAnswer& answer) {
  const std::string text = answer.header("retry-after");
  int seconds = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  return text.empty() || error != std::errc() || stop != text.data() + text.size() || seconds < 0
             ? -1
             : seconds;
}

std::string reason(const HttpAnswer& answer) {
  return answer.problem.empty() ? fmt::format("the server answers {}", answer.status)
                                : answer.problem;
}

}  // namespace

const HubFile* HubListing::find(const std::string& name) const {
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const HubFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

HubServer::HubServer(const HubAddress& address, const HubSettings& settings)
    : address_(address), settings_(settings), client_(settings) {}

std::string HubServer::url(const std::string& commit, const std::string& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, address_.repository(), commit,
                     file);
}

void HubServer::refuse(const HttpAnswer& answer, const std::string& what) const {
  const std::string message = answer.header("x-error-message");
  const std::string who = fmt::format("hf://{}@{}", address_.repository(), address_.revision);
  const std::string said = message.empty() ? "" : fmt::format(" ({})", message);
  const bool known = !settings_.token.empty();
  switch (answer.status) {
    case 401:
      throw bad_input(
          fmt::format("no access to {}{}", what, said), who,
          known ? "the token is not accepted: check HF_TOKEN, and the model's name"
                : "no such model, or it is private or gated: check the name, set HF_TOKEN");
    case 403:
      throw bad_input(
          fmt::format("access to {} is denied{}", what, said), who,
          "accept the model's terms on its page, or use a token with the right to read it");
    case 404:
    case 410:
      throw bad_input(fmt::format("{} does not exist{}", what, said), who,
                      known ? "check owner, name and revision"
                            : "check owner, name and revision; private models need HF_TOKEN");
    default:
      throw failure(fmt::format("{}: {}{}", what, reason(answer), said), who);
  }
}

HttpAnswer HubServer::insist(const std::string& what,
                             const std::function<HttpAnswer(HttpClient&)>& attempt,
                             const std::function<bool()>& progressed) {
  constexpr int kMostAttempts = 1000;
  double pause = settings_.first_pause;
  int failures = 0;
  for (int attempts = 1;; ++attempts) {
    HttpAnswer answer = attempt(client_);
    if (answer.good()) return answer;
    const bool may_pass = !answer.problem.empty() || answer.status == 408 || answer.status == 416 ||
                          answer.status == 429 || answer.status >= 500;
    if (!may_pass) refuse(answer, what);
    if (progressed && progressed()) {
      failures = 0;
      pause = settings_.first_pause;
    }
    const double asked = retry_after(answer);
    const bool too_long = asked > settings_.longest_pause;
    if (++failures >= settings_.attempts || attempts >= kMostAttempts || too_long)
      throw failure(
          fmt::format("{}: {}, {}", what, reason(answer),
                      too_long ? fmt::format("and asks to wait {:.0f} s", asked)
                               : fmt::format("after {} attempts", failures)),
          settings_.endpoint,
          answer.status == 429
              ? "too many requests: try again later"
              : "try again: what has come is kept; HF_HUB_OFFLINE=1 uses the cache alone");
    say(fmt::format("{}: {}; trying again", what, reason(answer)));
    wait(asked >= 0 ? asked : pause);
    pause *= 2;
  }
}

HubListing HubServer::list() {
  const std::string who = fmt::format("{} at {}", address_.repository(), address_.revision);
  std::string revision;  // a branch may have slashes
  for (const char c : address_.revision)
    revision += c == '/' ? std::string("%2F") : std::string(1, c);
  const std::string where = fmt::format("{}/api/models/{}/revision/{}", settings_.endpoint,
                                        address_.repository(), revision);
  const auto answer =
      insist(who, [&](HttpClient& client) { return client.get(where + "?blobs=true"); });
  const auto json = parse_json<nlohmann::json>(answer.body, where);
  HubListing listing;
  if (json.is_object()) listing.commit = text_at(json, "sha");
  if (plain_etag(listing.commit) != listing.commit || listing.commit.empty())
    throw failure("the hub's answer names no commit", where);
  const auto files = json.find("siblings");
  if (files == json.end() || !files->is_array())
    throw failure("the hub's answer lists no files", where);
  for (const auto& entry : *files)
    if (entry.is_object()) listing.files.push_back(read_file_entry(entry));
  return listing;
}

void HubServer::describe(const HubListing& listing, HubFile& file) {
  if (!file.etag.empty() && file.size >= 0) return;
  const auto answer = insist(file.name, [&](HttpClient& client) {
    HttpAnswer head = client.head(url(listing.commit, file.name));
    // A redirect to the store behind the hub is an answer: its headers describe the file.
    if (head.problem.empty() && head.status / 100 == 3) head.status = 200;
    return head;
  });
  const std::string linked = answer.header("x-linked-etag");
  file.etag = plain_etag(linked.empty() ? answer.header("etag") : linked);
  if (is_hexadecimal(file.etag, 64)) file.sha256 = file.etag;
  std::string size = answer.header("x-linked-size");
  if (size.empty() && answer.header("location").empty()) size = answer.header("content-length");
  int64_t bytes = -1;
  const auto [stop, error] = std::from_chars(size.data(), size.data() + size.size(), bytes);
  if (error == std::errc() && stop == size.data() + size.size() && bytes >= 0) file.size = bytes;
  if (file.etag.empty())
    throw failure("the hub names no ETag for the file, by which the cache could keep it",
                  url(listing.commit, file.name));
}

std::vector<HubFile> needed_files(const HubListing& listing, const std::string& where,
                                  const std::function<std::string(const HubFile&)>& read) {
  std::vector<HubFile> needed;
  for (const HubFile& file : listing.files)
    if (is_needed(file.name)) needed.push_back(file);
  const HubFile* weights = listing.find(kWeights);
  const HubFile* index = weights ? nullptr : listing.find(kIndex);
  const bool adapter =
      listing.find("adapter_config.json") && listing.find("adapter_model.safetensors");
  if (!listing.find("config.json") && !adapter)
    throw bad_input("the model has no config.json", where, "it is not of the transformers library");
  if (weights) needed.push_back(*weights);
  if (!weights && !index && !adapter) {
    std::string others;
    for (const HubFile& file : listing.files)
      if (file.name.ends_with(".bin") || file.name.ends_with(".gguf") ||
          file.name.ends_with(".pth"))
        others += (others.empty() ? "" : ", ") + file.name;
    throw bad_input("the model has no safetensors weights", where,
                    others.empty() ? "" : "it has weights of other formats: " + others);
  }
  if (!index) return needed;
  needed.push_back(*index);
  const std::string place = where + ": " + kIndex;
  const auto json = parse_json<nlohmann::json>(read(*index), place);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw bad_input("the index has no \"weight_map\" object", place);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string()) throw bad_input("a file name is expected", place + ": " + tensor);
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) {
    const HubFile* file = listing.find(shard);
    if (!file || shard.find('/') != std::string::npos)
      throw bad_input(fmt::format("the index names {}, which the model does not have", shard),
                      place);
    needed.push_back(*file);
  }
  return needed;
}

}  // namespace attar
