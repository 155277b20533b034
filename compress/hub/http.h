// HTTP as downloads need it, on libcurl: redirects that do not carry the token to another host,
// ranges, Ctrl-C.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "compress/hub/settings.h"

namespace attar {

struct HttpAnswer {
  long status = 0;                             // 0: no answer came, or it broke off; see `problem`
  std::string problem;                         // why the transfer failed, in words
  std::string body;                            // not of downloads that succeed
  std::map<std::string, std::string> headers;  // the last answer's; names in lower case

  bool good() const { return problem.empty() && status >= 200 && status < 300; }
  /// A header of this name, "" when there is none.
  std::string header(const std::string& name) const;
};

class HttpClient {
 public:
  explicit HttpClient(const HubSettings& settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// The whole body in memory, up to 256 MB.
  HttpAnswer get(const std::string& url);
  /// Follows only redirects that stay on the host: the hub's own headers describe a file, not those
  /// of the store behind it.
  HttpAnswer head(const std::string& url);
  /// Writes what follows the first `have` bytes of a file to the descriptor's end; begins anew when
  /// the server sends it from the start. progress(bytes of the file so far). Throws failure when
  /// the file can't be written, and interrupted on Ctrl-C.
  HttpAnswer download(const std::string& url, int descriptor, int64_t have,
                      const std::function<void(int64_t)>& progress);

 private:
  struct Transfer;
  HttpAnswer follow(std::string url, Transfer& transfer);
  HttpAnswer perform(const std::string& url, Transfer& transfer);

  const HubSettings& settings_;
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

}  // namespace attar
