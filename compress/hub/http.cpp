#include "compress/hub/http.h"

#include <curl/curl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "compress/base/error.h"
#include "compress/base/process.h"

namespace attar {
namespace {

constexpr size_t kLargestBody = size_t{256} << 20;
constexpr int kMostRedirects = 10;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

/// "https://host:port" of an address.
std::string origin(const std::string& url) {
  const size_t host = url.find("://");
  return lower(url.substr(0, host == std::string::npos ? host : url.find('/', host + 3)));
}

/// `target` of a Location header, seen from `url`; "" for what is no http address.
std::string resolved(const std::string& url, const std::string& target) {
  CURLU* parts = curl_url();
  std::string result;
  char* text = nullptr;
  if (curl_url_set(parts, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
      curl_url_set(parts, CURLUPART_URL, target.c_str(), CURLU_URLENCODE) == CURLUE_OK &&
      curl_url_get(parts, CURLUPART_URL, &text, 0) == CURLUE_OK)
    result = text;
  curl_free(text);
  curl_url_cleanup(parts);
  return result.starts_with("http://") || result.starts_with("https://") ? result : "";
}

}  // namespace

std::string HttpAnswer::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct HttpClient::Handle {
  CURL* curl = nullptr;
  Handle() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (ready == CURLE_OK) curl = curl_easy_init();
    if (!curl) throw failure("libcurl can't be started");
  }
  ~Handle() { curl_easy_cleanup(curl); }
};

/// One request on its way.
struct HttpClient::Transfer {
  bool head = false, leave_host = true;
  int descriptor = -1;  // of the file that a download writes; -1: into memory
  int64_t have = 0;     // bytes of it that are there
  std::function<void(int64_t)> progress;

  CURL* curl = nullptr;
  HttpAnswer answer;
  bool started = false;  // the body has begun
  bool wrong_part = false;
  int write_error = 0;   // errno

  static size_t on_header(char* data, size_t one, size_t count, void* self);
  static size_t on_body(char* data, size_t one, size_t count, void* self);
  static int on_progress(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return interrupted() ? 1 : 0;
  }

 private:
  void begin();
  bool write(std::string_view bytes);
};

size_t HttpClient::Transfer::on_header(char* data, size_t one, size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::string_view line(data, one * count);
  if (line.starts_with("HTTP/")) transfer.answer.headers.clear();  // of a 100, or a proxy
  if (const size_t colon = line.find(':'); colon != std::string_view::npos)
    transfer.answer.headers[lower(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
  return one * count;
}

/// Before the first byte: where in the file does it belong?
void HttpClient::Transfer::begin() {
  started = true;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  if (descriptor < 0 || answer.status < 200 || answer.status >= 300) return;
  const bool goes_on = answer.status == 206 &&
                       answer.header("content-range").starts_with(fmt::format("bytes {}-", have));
  if (goes_on) return;
  wrong_part = answer.status == 206;
  if (wrong_part) return;
  have = 0;
  if (::ftruncate(descriptor, 0) != 0) write_error = errno;
}

bool HttpClient::Transfer::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(have));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      write_error = errno;
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
    have += written;
  }
  if (progress) progress(have);
  return true;
}

size_t HttpClient::Transfer::on_body(char* data, size_t one, size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::string_view bytes(data, one * count);
  if (!transfer.started) transfer.begin();
  if (transfer.write_error || transfer.wrong_part) return 0;
  const bool to_file = transfer.descriptor >= 0 && transfer.answer.status / 100 == 2;
  if (to_file) return transfer.write(bytes) ? bytes.size() : 0;
  if (transfer.answer.body.size() + bytes.size() > kLargestBody) return 0;
  transfer.answer.body += bytes;
  return bytes.size();
}

HttpClient::HttpClient(const HubSettings& settings)
    : settings_(settings), handle_(std::make_unique<Handle>()) {}

HttpClient::~HttpClient() = default;

HttpAnswer HttpClient::perform(const std::string& url, Transfer& transfer) {
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);  // keeps connections
  transfer.curl = curl;
  transfer.answer = {};
  transfer.started = transfer.wrong_part = false;
  char reason[CURL_ERROR_SIZE] = "";
  curl_slist* headers = curl_slist_append(nullptr, "Accept-Encoding: identity");
  const bool ours = origin(url) == origin(settings_.endpoint);
  if (ours && !settings_.token.empty())
    headers = curl_slist_append(headers, ("Authorization: Bearer " + settings_.token).c_str());
  const std::string range = fmt::format("{}-", transfer.have);
  if (transfer.have > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  if (transfer.head) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "attar/" ATTAR_VERSION);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);  // nothing for half a minute
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, Transfer::on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Transfer::on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, Transfer::on_progress);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.answer.status);
  check_interrupted();
  if (transfer.write_error)
    throw failure(std::string("cannot write the download: ") + std::strerror(transfer.write_error),
                  url, "check free space (df) and the permissions of the cache");
  if (code != CURLE_OK) transfer.answer.problem = *reason ? reason : curl_easy_strerror(code);
  if (transfer.wrong_part) transfer.answer.problem = "another part came than was asked for";
  return std::move(transfer.answer);
}

HttpAnswer HttpClient::follow(std::string url, Transfer& transfer) {
  for (int hops = 0;; ++hops) {
    HttpAnswer answer = perform(url, transfer);
    const std::string location = answer.header("location");
    if (answer.status / 100 != 3 || location.empty()) return answer;
    const std::string next = resolved(url, location);
    if (!transfer.leave_host && origin(next) != origin(url)) return answer;
    answer.status = 0;
    if (next.empty()) answer.problem = "it redirects to no http address: " + location;
    if (url.starts_with("https://") && next.starts_with("http://"))
      answer.problem = "it redirects from https to http: " + location;
    if (hops == kMostRedirects) answer.problem = "it redirects too often";
    if (!answer.problem.empty()) return answer;
    url = next;
  }
}

HttpAnswer HttpClient::get(const std::string& url) {
  Transfer transfer;
  return follow(url, transfer);
}

HttpAnswer HttpClient::head(const std::string& url) {
  Transfer transfer;
  transfer.head = true;
  transfer.leave_host = false;
  return follow(url, transfer);
}

HttpAnswer HttpClient::download(const std::string& url, int descriptor, int64_t have,
                                const std::function<void(int64_t)>& progress) {
  Transfer transfer;
  transfer.descriptor = descriptor;
  transfer.have = have;
  transfer.progress = progress;
  return follow(url, transfer);
}

}  // namespace attar
