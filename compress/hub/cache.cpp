#include "compress/hub/cache.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"

namespace attar {
namespace {

void make_directories(const fs::path& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code)
    throw failure("cannot create directory: " + code.message(), path.string(),
                  "HF_HOME or HF_HUB_CACHE names another place for downloads");
}

}  // namespace

HubCache::HubCache(const fs::path& root, const HubAddress& address) {
  const std::string name = fmt::format("models--{}--{}", address.owner, address.name);
  repository_ = root / name;
  locks_ = root / ".locks" / name;
}

void HubCache::create() const {
  for (const auto& path :
       {repository_ / "refs", repository_ / "blobs", repository_ / "snapshots", locks_})
    make_directories(path);
}

std::optional<std::string> HubCache::commit(const std::string& revision) const {
  std::error_code code;
  const fs::path file = repository_ / "refs" / revision;
  if (fs::is_regular_file(file, code)) {
    std::string text = read_text(file);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
    if (!text.empty() && text.find('/') == std::string::npos && text[0] != '.') return text;
  }
  if (revision.find('/') == std::string::npos && fs::is_directory(snapshot(revision), code))
    return revision;
  return {};
}

void HubCache::set_commit(const std::string& revision, const std::string& commit) const {
  if (revision == commit) return;
  const fs::path file = repository_ / "refs" / revision;
  make_directories(file.parent_path());
  write_file(file, commit);
}

void HubCache::link(const std::string& commit, const std::string& file,
                    const std::string& etag) const {
  const fs::path place = snapshot(commit) / file;
  make_directories(place.parent_path());
  const fs::path target = blob(etag).lexically_relative(place.parent_path());
  std::error_code code;
  if (fs::is_symlink(place, code) && fs::read_symlink(place, code) == target) return;
  const fs::path fresh = place.string() + fmt::format(".link-{}", ::getpid());  // of this process
  fs::remove(fresh, code);
  fs::create_symlink(target, fresh, code);
  if (!code) fs::rename(fresh, place, code);
  if (code) throw failure("cannot link the downloaded file: " + code.message(), place.string());
}

HubCache::Lock::Lock(const HubCache& cache, const std::string& etag) {
  const fs::path path = cache.locks_ / (etag + ".lock");
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0)
    throw failure(std::string("cannot open the lock: ") + std::strerror(errno), path.string());
  bool told = false;
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      const int reason = errno;
      ::close(descriptor_);
      throw failure(std::string("cannot lock: ") + std::strerror(reason), path.string());
    }
    if (!told) say("waiting for another process that downloads the same file");
    told = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (!interrupted()) continue;
    ::close(descriptor_);
    check_interrupted();
  }
}

HubCache::Lock::~Lock() {
  ::close(descriptor_);  // and with it the lock; the file stays for others
}

}  // namespace attar
