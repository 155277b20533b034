#include "compress/kernels/arena.h"

#include <sys/mman.h>

#include <cstdint>
#include <mutex>
#include <new>

namespace attar {
namespace {

constexpr size_t kLine = 64, kHugePage = size_t{2} << 20, kChunk = size_t{16} << 20;

size_t round_up(size_t n, size_t unit) {
  return (n + unit - 1) / unit * unit;
}

/// A mapping that begins on a huge page. Fresh pages are zero and take no memory until they are
/// touched.
class Chunk {
 public:
  explicit Chunk(size_t bytes) : mapped_(round_up(bytes, kHugePage) + kHugePage) {
    start_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start_ == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(start_);
    data_ += round_up(reinterpret_cast<uintptr_t>(start_), kHugePage) -
             reinterpret_cast<uintptr_t>(start_);
    madvise(data_, mapped_ - kHugePage, MADV_HUGEPAGE);  // a wish: fewer TLB misses
  }
  ~Chunk() { munmap(start_, mapped_); }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  std::byte* data() const { return data_; }

 private:
  size_t mapped_;
  void* start_;
  std::byte* data_;
};

/// The chunk that is being filled. It lives as long as a buffer in it.
struct Filling {
  std::mutex mutex;
  std::weak_ptr<Chunk> chunk;
  size_t used = 0;
};
Filling& filling() {
  static Filling instance;
  return instance;
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  bytes = round_up(bytes, kLine);
  if (bytes > kChunk / 2) {
    const auto own = std::make_shared<Chunk>(bytes);
    data_ = own->data();
    chunk_ = own;
    return;
  }
  Filling& current = filling();
  const std::lock_guard lock(current.mutex);
  auto chunk = current.chunk.lock();
  if (chunk == nullptr || current.used + bytes > kChunk) {
    chunk = std::make_shared<Chunk>(kChunk);
    current.chunk = chunk;
    current.used = 0;
  }
  data_ = chunk->data() + current.used;
  current.used += bytes;
  chunk_ = chunk;
}

}  // namespace attar
