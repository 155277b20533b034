#include "compress/hub/pull.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/hub/cache.h"
#include "compress/hub/listing.h"

namespace attar {
namespace {

constexpr int64_t kMegabyte = 1'000'000;

int64_t bytes_of(const fs::path& path) {
  std::error_code code;
  const auto size = fs::file_size(path, code);
  return code ? -1 : static_cast<int64_t>(size);
}

/// Git's name for a file's content: SHA-1 of "blob <size>", a zero byte, and the bytes.
std::string git_blob_sha1(const fs::path& path) {
  const MappedFile file = MappedFile::open(path);
  const std::string head = fmt::format("blob {}", file.bytes().size());
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestInit_ex(context, EVP_sha1(), nullptr);
  EVP_DigestUpdate(context, head.c_str(), head.size() + 1);
  EVP_DigestUpdate(context, file.bytes().data(), file.bytes().size());
  EVP_DigestFinal_ex(context, digest, &length);
  EVP_MD_CTX_free(context);
  std::string text;
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

class Descriptor {
 public:
  explicit Descriptor(const fs::path& path)
      : number_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (number_ < 0)
      throw failure(std::string("cannot create file: ") + std::strerror(errno), path.string(),
                    "check free space (df) and the permissions of the cache");
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

class Pull {
 public:
  Pull(const HubAddress& address, const HubSettings& settings)
      : address_(address),
        settings_(settings),
        where_(fmt::format("hf://{}@{}", address.repository(), address.revision)),
        cache_(settings.cache, address),
        server_(address, settings) {}

  PulledModel run() {
    listing_ = server_.list();
    cache_.create();
    result_.commit = listing_.commit;
    auto files = needed_files(listing_, where_, [&](const HubFile& index) {
      HubFile file = index;
      server_.describe(listing_, file);
      fetch(file, nullptr);
      return read_text(cache_.blob(file.etag));
    });
    for (HubFile& file : files) server_.describe(listing_, file);
    check_space(files);
    int64_t total = 0;
    for (const HubFile& file : files) total += std::max<int64_t>(file.size, 0);
    Progress progress("pull " + address_.repository(), total / kMegabyte, "MB");
    for (const HubFile& file : files) {
      fetch(file, &progress);
      done_ += std::max<int64_t>(file.size, 0);
      cache_.link(listing_.commit, file.name, file.etag);
      result_.files.push_back(file.name);
    }
    cache_.set_commit(address_.revision, listing_.commit);
    result_.directory = cache_.snapshot(listing_.commit);
    return result_;
  }

 private:
  fs::path partial(const HubFile& file) const {
    return cache_.blob(file.etag).string() + ".incomplete";
  }

  void check_space(const std::vector<HubFile>& files) const {
    int64_t missing = 0;
    for (const HubFile& file : files)
      if (bytes_of(cache_.blob(file.etag)) < 0)
        missing += std::max<int64_t>(file.size - std::max<int64_t>(bytes_of(partial(file)), 0), 0);
    std::error_code code;
    const auto space = fs::space(settings_.cache, code);
    if (code || static_cast<uint64_t>(missing) + 16 * kMegabyte <= space.available) return;
    if (missing == 0) return;
    throw failure(
        fmt::format("{} MB are to be downloaded, and the disk has {} MB left", missing / kMegabyte,
                    static_cast<int64_t>(space.available) / kMegabyte),
        settings_.cache.string(), "HF_HOME or HF_HUB_CACHE names another place");
  }

  /// Whether the blob is there, whole.
  bool have(const HubFile& file) const {
    const int64_t size = bytes_of(cache_.blob(file.etag));
    return size >= 0 && (file.size < 0 || size == file.size);
  }

  void fetch(const HubFile& file, Progress* progress) {
    if (have(file)) return;
    const HubCache::Lock lock(cache_, file.etag);
    if (have(file)) return;  // the process that was waited for has brought it
    for (int round = 1;; ++round) {
      download(file, progress);
      const std::string wrong = mistake(file);
      if (wrong.empty()) break;
      fs::remove(partial(file));
      if (round == 2)
        throw failure(fmt::format("{}: {}", file.name, wrong), where_,
                      "it came wrong twice: the hub or something between damages it");
      say(fmt::format("{}: {}; fetching it anew", file.name, wrong));
    }
    std::error_code code;
    fs::rename(partial(file), cache_.blob(file.etag), code);
    if (code)
      throw failure("cannot put file in place: " + code.message(), cache_.blob(file.etag).string());
  }

  void download(const HubFile& file, Progress* progress) {
    const Descriptor out(partial(file));
    int64_t size = bytes_of(partial(file));
    if (file.size >= 0 && size > file.size) size = restart(out);
    if (file.size >= 0 && size == file.size) return;
    int64_t before = size;
    const auto note = [&](int64_t bytes) {
      if (progress) progress->update((done_ + bytes) / kMegabyte);
    };
    server_.insist(
        file.name,
        [&](HttpClient& client) {
          size = std::max<int64_t>(bytes_of(partial(file)), 0);
          before = size;
          HttpAnswer answer =
              client.download(server_.url(listing_.commit, file.name), out.number(), size, note);
          const int64_t now = std::max<int64_t>(bytes_of(partial(file)), 0);
          result_.downloaded += now > size ? now - size : now;
          if (answer.status == 416) restart(out);  // the server has less than what is there
          if (answer.good() && file.size >= 0 && now < file.size)
            answer.problem = fmt::format("{} of {} bytes came", now, file.size);
          return answer;
        },
        [&] { return bytes_of(partial(file)) > before; });
    if (::fsync(out.number()) != 0)
      throw failure(std::string("cannot write file: ") + std::strerror(errno),
                    partial(file).string());
  }

  static int64_t restart(const Descriptor& out) {
    if (::ftruncate(out.number(), 0) != 0)
      throw failure(std::string("cannot write file: ") + std::strerror(errno));
    return 0;
  }

  /// What is wrong with the bytes that came; "" when nothing is.
  std::string mistake(const HubFile& file) {
    const int64_t size = bytes_of(partial(file));
    if (file.size >= 0 && size != file.size)
      return fmt::format("{} bytes came instead of {}", size, file.size);
    if (size == 0) return {};  // nothing to be hashed, and an empty file can't be mapped
    if (!file.sha256.empty())
      return sha256_file(partial(file)) == file.sha256 ? "" : "its SHA-256 is not the hub's";
    if (!file.blob_sha1.empty())
      return git_blob_sha1(partial(file)) == file.blob_sha1 ? "" : "its hash is not the hub's";
    result_.unhashed.push_back(file.name);
    return {};
  }

  HubAddress address_;
  const HubSettings& settings_;
  std::string where_;
  HubCache cache_;
  HubServer server_;
  HubListing listing_;
  PulledModel result_;
  int64_t done_ = 0;  // bytes of the files before
};

/// The files of a snapshot that is whole as far as its own index says.
PulledModel cached_model(const HubAddress& address, const HubSettings& settings) {
  const HubCache cache(settings.cache, address);
  const std::string where = fmt::format("hf://{}@{}", address.repository(), address.revision);
  const auto commit = cache.commit(address.revision);
  PulledModel result;
  if (!commit || !fs::is_directory(cache.snapshot(*commit)))
    throw bad_input("the model is not in the cache, and HF_HUB_OFFLINE forbids to download it",
                    where, "looked in " + settings.cache.string());
  result.commit = *commit;
  result.directory = cache.snapshot(*commit);
  HubListing listing{*commit, {}};
  for (const auto& entry : fs::recursive_directory_iterator(result.directory))
    if (fs::is_regular_file(entry.path()))  // a link whose blob is gone is none
      listing.files.push_back(
          {entry.path().lexically_relative(result.directory).string(), -1, "", "", ""});
  for (const HubFile& file :
       needed_files(listing, where + " in the cache",
                    [&](const HubFile& index) { return read_text(result.directory / index.name); }))
    result.files.push_back(file.name);
  return result;
}

}  // namespace

PulledModel pull_model(const HubAddress& address, const HubSettings& settings) {
  if (settings.offline) return cached_model(address, settings);
  PulledModel result = Pull(address, settings).run();
  for (const std::string& name : result.unhashed)
    say(fmt::format("{}: the hub gives no hash to check it by", name));
  return result;
}

fs::path local_model(const std::string& name) {
  if (!is_hub_address(name)) return name;
  return pull_model(parse_hub_address(name), hub_settings()).directory;
}

}  // namespace attar
