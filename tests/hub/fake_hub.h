// A hub with one model, as the real one answers: a listing, files by commit, large files behind a
// redirect to a store that is another host. Faults are switched on by tests.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "compress/base/hash.h"
#include "tests/hub/http_server.h"

namespace attar::testing {

inline constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

class FakeHub {
 public:
  FakeHub() : server_([this](const HttpRequest& request) { return answer(request); }) {
    files["config.json"] = R"({"model_type": "llama"})";
    files["tokenizer.json"] = R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})";
    files["README.md"] = "not needed";
    files["pytorch_model.bin"] = "not needed";
    files["onnx/model.onnx"] = "not needed";
    std::string weights;
    for (int i = 0; i < 200'000; ++i) weights += static_cast<char>(i * 31 % 251);
    files["model.safetensors"] = weights;
  }

  std::string url() const { return server_.url(); }
  std::vector<HttpRequest> requests() const { return server_.requests(); }
  /// How often a file's bytes were asked for.
  int fetches(const std::string& name) const {
    int count = 0;
    for (const HttpRequest& request : requests())
      count += request.method == "GET" && request.path.starts_with("/owner/name/resolve/") &&
               request.path.ends_with("/" + name);
    return count;
  }

  // Set before the first request. Names ending in .safetensors are large files.
  std::map<std::string, std::string> files;
  bool describes_files = true;  // the listing has sizes and hashes
  bool ranges = true;           // the store answers them
  std::string needed_token;     // "": open to all
  /// May replace an answer for a path; counts are the caller's.
  std::function<std::optional<HttpResponse>(const HttpRequest&)> fault;
  /// May change an answer's fields (cut_after, body).
  std::function<void(const HttpRequest&, HttpResponse&)> change;

 private:
  static bool large(const std::string& name) { return name.ends_with(".safetensors"); }

  HttpResponse answer(const HttpRequest& request) {
    const std::lock_guard guard(lock_);
    if (fault)
      if (auto replaced = fault(request)) return *replaced;
    HttpResponse response = right_answer(request);
    if (change) change(request, response);
    return response;
  }

  HttpResponse right_answer(const HttpRequest& request) {
    const std::string store = "/store/",
                      resolve = "/owner/name/resolve/" + std::string(kCommit) + "/";
    if (request.path.starts_with(store))
      return ranged(request, files[request.path.substr(store.size())]);
    if (!needed_token.empty() && request.header("authorization") != "Bearer " + needed_token)
      return {401, {{"X-Error-Message", "Invalid username or password."}}, "{}"};
    if (request.path.starts_with("/api/models/owner/name/revision/")) {
      const std::string revision = request.path.substr(32, request.path.find('?') - 32);
      if (revision == "main" || revision == "refs%2Fpr%2F1" || revision == kCommit)
        return {200, {}, listing().dump()};
    }
    if (request.path.starts_with(resolve))
      return resolved(request, request.path.substr(resolve.size()));
    return {404, {{"X-Error-Code", "EntryNotFound"}}, "Not Found"};
  }

  nlohmann::json listing() const {
    nlohmann::json siblings = nlohmann::json::array();
    for (const auto& [name, content] : files) {
      nlohmann::json entry = {{"rfilename", name}};
      if (describes_files && large(name)) {
        entry["size"] = content.size();
        entry["lfs"] = {
            {"sha256", sha256(content)}, {"size", content.size()}, {"pointerSize", 134}};
      }
      siblings.push_back(entry);
    }
    return {{"id", "owner/name"}, {"sha", kCommit}, {"siblings", siblings}};
  }

  HttpResponse resolved(const HttpRequest& request, const std::string& name) {
    const auto found = files.find(name);
    if (found == files.end()) return {404, {{"X-Error-Code", "EntryNotFound"}}, ""};
    const std::string& content = found->second;
    if (!large(name)) {
      HttpResponse response = ranged(request, content);
      response.headers["ETag"] = "\"" + sha256(content).substr(0, 40) + "\"";
      return response;
    }
    return {302,
            {{"Location", server_.url("localhost") + "/store/" + name},
             {"X-Linked-Etag", "\"" + sha256(content) + "\""},
             {"X-Linked-Size", std::to_string(content.size())},
             {"ETag", "\"of-the-pointer\""}},
            ""};
  }

  HttpResponse ranged(const HttpRequest& request, const std::string& content) const {
    const std::string range = request.header("range");
    if (!ranges || range.empty()) return {200, {}, content};
    const size_t from = std::stoull(range.substr(6));
    if (from >= content.size()) return {416, {}, ""};
    return {206,
            {{"Content-Range", "bytes " + std::to_string(from) + "-" +
                                   std::to_string(content.size() - 1) + "/" +
                                   std::to_string(content.size())}},
            content.substr(from)};
  }

  std::mutex lock_;
  HttpServer server_;  // last: its threads use what is above
};

}  // namespace attar::testing
