// A small HTTP server on 127.0.0.1 for tests: one thread a connection, one request a connection,
// and answers that may lie about their length or break off.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace attar::testing {

struct HttpRequest {
  std::string method, path;                    // with the query
  std::map<std::string, std::string> headers;  // names in lower case

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct HttpResponse {
  int status = 200;
  std::map<std::string, std::string> headers;
  std::string body;
  size_t cut_after = ~size_t{0};  // bytes of the body, then the connection closes
  int pause_ms = 0;               // before every 4 KiB of the body
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&place), size) != 0 ||
        ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&place), &size) != 0)
      std::abort();
    port_ = ntohs(place.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }
  ~HttpServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    for (std::thread& thread : connections_) thread.join();
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// By another name of this machine the same server is another host to a client.
  std::string url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_);
  }
  std::vector<HttpRequest> requests() const {
    const std::lock_guard guard(lock_);
    return requests_;
  }

 private:
  void accept() {
    while (!stopping_) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      connections_.emplace_back([this, connection] {
        serve(connection);
        ::close(connection);
      });
    }
  }

  void serve(int connection) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(connection, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      text.append(buffer, static_cast<size_t>(got));
    }
    const HttpRequest request = parse(text);
    {
      const std::lock_guard guard(lock_);
      requests_.push_back(request);
    }
    answer(connection, request, handler_(request));
  }

  static HttpRequest parse(const std::string& text) {
    HttpRequest request;
    const size_t space = text.find(' '), second = text.find(' ', space + 1);
    request.method = text.substr(0, space);
    request.path = text.substr(space + 1, second - space - 1);
    for (size_t at = text.find("\r\n") + 2; at < text.size();) {
      const size_t end = text.find("\r\n", at), colon = text.find(':', at);
      if (end == at || end == std::string::npos) break;
      std::string name = text.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  void answer(int connection, const HttpRequest& request, const HttpResponse& response) const {
    std::string head =
        "HTTP/1.1 " + std::to_string(response.status) + " x\r\nConnection: close\r\n";
    if (!response.headers.contains("Content-Length"))
      head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
    for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
    if (!send(connection, head + "\r\n") || request.method == "HEAD") return;
    const std::string body = response.body.substr(0, response.cut_after);
    for (size_t at = 0; at < body.size() && !stopping_; at += 4096) {
      if (response.pause_ms)
        std::this_thread::sleep_for(std::chrono::milliseconds(response.pause_ms));
      if (!send(connection, body.substr(at, 4096))) return;
    }
  }

  static bool send(int connection, std::string text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.erase(0, static_cast<size_t>(sent));
    }
    return true;
  }

  Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread acceptor_;
  std::vector<std::thread> connections_;
  mutable std::mutex lock_;
  std::vector<HttpRequest> requests_;
};

}  // namespace attar::testing
