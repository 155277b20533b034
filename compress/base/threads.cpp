#include "compress/base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
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
  int64_t failed = 0;  // the range that threw it

  /// Ranges are taken in order, so that all before one that throws run to their end: what is thrown
  /// first by index is the same for any number of threads.
  void work() {
    inside_body = true;
    int64_t begin = 0;
    try {
      while ((begin = next.fetch_add(grain)) < count) body(begin, std::min(count, begin + grain));
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!error || begin < failed) {
        error = std::current_exception();
        failed = begin;
      }
    }
    inside_body = false;
  }
};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Waits until `value` differs from `old`: a short while awake, because the next loop of a forward
/// pass comes within microseconds, then asleep.
void await_change(const std::atomic<uint32_t>& value, uint32_t old, int spins) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  value.wait(old, std::memory_order_acquire);
}

/// A loop is published by opening `state_` and raising `generation_`. A worker that comes while it
/// is open counts itself in; the caller closes it when no range is left and waits for those inside
/// only, so a worker that the system has not woken yet delays nobody.
class Pool {
 public:
  ~Pool() { resize(1); }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void resize(int threads) {
    stopping_ = true;
    publish();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
    stopping_ = false;
    spins_ =
        threads <= processors() ? kSpins : 0;  // awake threads must not keep others from working
    for (int i = 1; i < threads; ++i)
      workers_.emplace_back([this, seen = generation_.load()] { serve(seen); });
  }

  void run(Loop& loop) {
    const std::lock_guard one_loop_at_a_time(running_);
    loop_ = &loop;
    state_.store(kOpen, std::memory_order_release);
    publish();
    loop.work();
    uint32_t inside = state_.fetch_and(~kOpen) & ~kOpen;
    while (inside != 0) {
      await_change(state_, inside, spins_);
      inside = state_.load();
    }
  }

 private:
  static constexpr uint32_t kOpen = 1u << 31;
  static constexpr int kSpins = 2000;  // some tens of microseconds

  void publish() {
    generation_.fetch_add(1);
    generation_.notify_all();
  }

  void serve(uint32_t seen) {
    for (;;) {
      await_change(generation_, seen, spins_);
      seen = generation_.load();
      if (stopping_) return;
      uint32_t state = state_.load();
      while ((state & kOpen) != 0 && !state_.compare_exchange_weak(state, state + 1)) {
      }
      if ((state & kOpen) == 0) continue;
      loop_->work();
      state_.fetch_sub(1);
      state_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex running_;
  std::atomic<uint32_t> generation_{0},
      state_{0};  // state_: kOpen, and how many workers are inside
  std::atomic<bool> stopping_{false};
  Loop* loop_ = nullptr;
  int spins_ = 0;
};

Pool& pool() {
  static Pool instance;
  static const bool started = (instance.resize(processors()), true);
  (void)started;
  return instance;
}

}  // namespace

void set_thread_count(int threads) {
  pool().resize(std::max(1, threads));
}
int thread_count() {
  return pool().size();
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
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
