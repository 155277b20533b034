#include "compress/base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>

#include "compress/base/error.h"
#include "compress/base/mapped_pages.h"

namespace attar {
namespace {

std::string reason() {
  return std::strerror(errno);
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

int64_t nanoseconds(const timespec& time) {
  return int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

FileStamp stamp_of(const struct stat& status) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {status.st_dev,
          status.st_ino,
          static_cast<uint64_t>(status.st_size),
          nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim),
          nanoseconds(now)};
}

/// Every mapping that is alive.
struct Mappings {
  std::mutex mutex;
  std::map<void*, size_t> sizes;
};
Mappings& mappings() {
  static auto* all = new Mappings;  // outlives whatever is destroyed at exit
  return *all;
}

}  // namespace

void release_mapped_pages() {
  Mappings& all = mappings();
  const std::lock_guard lock(all.mutex);
  for (const auto& [address, size] : all.sizes) ::madvise(address, size, MADV_DONTNEED);
}

MappedFile MappedFile::open(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  if (file.get() < 0) throw bad_input("cannot open file: " + reason(), path.string());
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    throw bad_input("not a regular file", path.string());
  MappedFile mapped;
  mapped.path_ = path;
  mapped.stamp_ = stamp_of(status);
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return mapped;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) throw failure("cannot map file: " + reason(), path.string());
  {
    const std::lock_guard lock(mappings().mutex);
    mappings().sizes[address] = size;
  }
  mapped.mapping_ = std::shared_ptr<const void>(address, [size](const void* p) {
    void* own = const_cast<void*>(p);
    const std::lock_guard lock(mappings().mutex);
    mappings().sizes.erase(own);
    ::munmap(own, size);
  });
  mapped.bytes_ = {static_cast<const std::byte*>(address), size};
  return mapped;
}

std::string read_text(const fs::path& path) {
  return std::string(MappedFile::open(path).text());
}

void write_file(const fs::path& path, std::string_view content) {
  fs::path temporary = path;
  temporary += ".partial-" + std::to_string(::getpid());
  const auto fail = [&](const char* what) {
    const std::string why = reason();
    std::error_code ignored;
    fs::remove(temporary, ignored);
    return failure(std::string(what) + ": " + why, path.string(),
                   "check free space (df) and the permissions of the directory");
  };
  {
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file.get() < 0) throw fail("cannot create file");
    while (!content.empty()) {
      const ssize_t written = ::write(file.get(), content.data(), content.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw fail("cannot write file");
      content.remove_prefix(static_cast<size_t>(written));
    }
    if (::fsync(file.get()) != 0) throw fail("cannot write file");
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) throw fail("cannot put file in place");
}

namespace {

Error system_failure(const std::string& what, int code, const fs::path& path) {
  return failure(what + ": " + std::strerror(code), path.string(),
                 "check free space (df) and the permissions of the directory");
}

}  // namespace

PartialFile::PartialFile(fs::path path, uint64_t size) : path_(std::move(path)), temporary_(path_) {
  temporary_ += ".partial-" + std::to_string(::getpid());
  fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) throw system_failure("cannot create file", errno, path_);
  const int code = size == 0 ? 0 : ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
  if (code == 0) return;
  ::close(fd_);
  std::error_code ignored;
  fs::remove(temporary_, ignored);
  throw system_failure("cannot reserve " + std::to_string(size) + " bytes", code, path_);
}

PartialFile::~PartialFile() {
  ::close(fd_);
  std::error_code ignored;
  if (!finished_) fs::remove(temporary_, ignored);
}

void PartialFile::write(std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_failure("cannot write file", errno, path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

void PartialFile::finish() {
  if (::fsync(fd_) != 0) throw system_failure("cannot write file", errno, path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw system_failure("cannot put file in place", errno, path_);
  finished_ = true;
}

StagedDirectory::StagedDirectory(fs::path final_path, bool replace)
    : final_(fs::absolute(std::move(final_path)).lexically_normal()), replace_(replace) {
  if (!final_.has_filename()) final_ = final_.parent_path();
  staging_ = final_.parent_path() / (".partial-" + final_.filename().string());
  std::error_code code;
  fs::create_directories(final_.parent_path(), code);
  if (!code) fs::remove_all(staging_, code);  // what a killed run left
  if (!code) fs::create_directory(staging_, code);
  if (code)
    throw bad_input("cannot write the output directory: " + code.message(), final_.string(),
                    "choose another place with --output, or fix its permissions");
}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(staging_, ignored);
}

void StagedDirectory::commit() {
  const fs::path old = final_.parent_path() / (".replaced-" + final_.filename().string());
  std::error_code code;
  if (replace_ && fs::exists(final_)) {
    fs::remove_all(old, code);
    fs::rename(final_, old, code);
  }
  if (!code) fs::rename(staging_, final_, code);
  if (code) throw failure("cannot put results in place: " + code.message(), final_.string());
  committed_ = true;
  fs::remove_all(old, code);
}

uint64_t bytes_on_disk(const fs::path& path) {
  if (fs::is_regular_file(path)) return fs::file_size(path);
  uint64_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file()) total += entry.file_size();
  return total;
}

fs::path executable_directory() {
  return fs::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace attar
