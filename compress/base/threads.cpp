#include "compress/base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace attar {
namespace {

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

thread_local bool inside_body = false;

/// A loop in progress: threads take ranges from `next` until none is left.
struct Loop {
  int64_t count, grain;
  const std::function<void(int64_t, int64_t)>& body;
  std::atomic<int64_t> next{0};
  std::mutex mutex{};
  std::exception_ptr error{};

  void work() {
    inside_body = true;
    try {
      for (;;) {
        const int64_t begin = next.fetch_add(grain);
        if (begin >= count) break;
        body(begin, std::min(count, begin + grain));
      }
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
    inside_body = false;
  }
};

class Pool {
 public:
  ~Pool() { resize(1); }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void resize(int threads) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
    stopping_ = false;
    for (int i = 1; i < threads; ++i)
      workers_.emplace_back([this, seen = generation_]() mutable { serve(seen); });
  }

  void run(Loop& loop) {
    const std::lock_guard one_loop_at_a_time(running_);
    {
      const std::lock_guard lock(mutex_);
      loop_ = &loop;
      busy_ = static_cast<int>(workers_.size());
      ++generation_;
    }
    wake_.notify_all();
    loop.work();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    loop_ = nullptr;
  }

 private:
  void serve(uint64_t seen) {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      Loop* loop = loop_;
      lock.unlock();
      loop->work();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_, running_;
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  uint64_t generation_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
};

Pool& pool() {
  static Pool instance;
  static const bool started = (instance.resize(processors()), true);
  (void)started;
  return instance;
}

}  // namespace

void set_thread_count(int threads) { pool().resize(std::max(1, threads)); }
int thread_count() { return pool().size(); }

void parallel_for(int64_t count, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (inside_body || count <= grain || pool().size() == 1) {
    for (int64_t begin = 0; begin < count; begin += grain)
      body(begin, std::min(count, begin + grain));
    return;
  }
  Loop loop{count, grain, body};
  pool().run(loop);
  if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace attar
