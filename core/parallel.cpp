#include "core/parallel.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(EXPUNGE_STD_THREADS)
#include <omp.h>
#endif

namespace expunge {
namespace {

int affinity_count() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

std::atomic<int> threads_wanted{0};
thread_local bool inside_chunk = false;

// Keeps the first exception of a set of chunks for the thread that waits for them.
class FirstError {
 public:
  template <class F>
  void guard(F f) {
    try {
      f();
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

void run_chunk(FirstError& error, FunctionRef<void(int64_t)> body, int64_t chunk) {
  const bool outer = inside_chunk;
  inside_chunk = true;
  error.guard([&] { body(chunk); });
  inside_chunk = outer;
}

#if defined(EXPUNGE_STD_THREADS)

// Threads that wait for rounds of chunks: the build in which the thread sanitizer sees every lock.
class Team {
 public:
  explicit Team(int helpers) {
    for (int i = 0; i < helpers; ++i) threads_.emplace_back([this] { helper(); });
  }
  ~Team() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  int helpers() const { return static_cast<int>(threads_.size()); }

  void run(int64_t chunks, FunctionRef<void(int64_t)> body) {
    FirstError error;
    {
      std::lock_guard lock(mutex_);
      body_ = body, error_ = &error, chunks_ = chunks, next_ = 0, busy_ = helpers();
      ++round_;
    }
    wake_.notify_all();
    drain();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
    error.rethrow();
  }

 private:
  void drain() {
    for (int64_t c; (c = next_.fetch_add(1)) < chunks_;) run_chunk(*error_, body_, c);
  }
  void helper() {
    uint64_t seen = 0;
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      lock.unlock();
      drain();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  FunctionRef<void(int64_t)> body_;
  FirstError* error_ = nullptr;
  int64_t chunks_ = 0;
  std::atomic<int64_t> next_{0};
  int busy_ = 0;
  uint64_t round_ = 0;
  bool stop_ = false;
};

void run_team(int64_t chunks, FunctionRef<void(int64_t)> body) {
  static std::mutex one_round;  // two threads of the program may call parallel_for
  static std::unique_ptr<Team> team;
  std::lock_guard lock(one_round);
  const int helpers = thread_count() - 1;
  if (!team || team->helpers() != helpers) team = std::make_unique<Team>(helpers);
  team->run(chunks, body);
}

#else

void run_team(int64_t chunks, FunctionRef<void(int64_t)> body) {
  FirstError error;
#pragma omp parallel for schedule(dynamic, 1) num_threads(thread_count())
  for (int64_t c = 0; c < chunks; ++c) run_chunk(error, body, c);
  error.rethrow();
}

#endif

}  // namespace

int thread_count() {
  const int wanted = threads_wanted.load(std::memory_order_relaxed);
  return wanted > 0 ? wanted : affinity_count();
}

void set_thread_count(int threads) {
  threads_wanted.store(threads > 0 ? threads : affinity_count());
}

void parallel_for(int64_t chunks, FunctionRef<void(int64_t)> body) {
  if (chunks <= 1 || inside_chunk || thread_count() == 1) {
    for (int64_t c = 0; c < chunks; ++c) body(c);
    return;
  }
  run_team(chunks, body);
}

struct Worker::State {
  std::mutex mutex;
  std::condition_variable changed;
  FunctionRef<void()> job;
  bool busy = false, stop = false;
  std::exception_ptr error;
  std::thread thread;

  void loop() {
    inside_chunk = true;  // its parallel_for runs serially: the cores belong to the step
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stop || busy; });
      if (stop) return;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        job();
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      error = thrown;
      busy = false;
      changed.notify_all();
    }
  }
};

Worker::Worker() : state_(std::make_unique<State>()) {
  state_->thread = std::thread([state = state_.get()] { state->loop(); });
}

Worker::~Worker() {
  {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return !state_->busy; });
    state_->stop = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void Worker::start(FunctionRef<void()> job) {
  wait();
  {
    std::lock_guard lock(state_->mutex);
    state_->job = job;
    state_->busy = true;
  }
  state_->changed.notify_all();
}

void Worker::wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return !state_->busy; });
  if (state_->error) std::rethrow_exception(std::exchange(state_->error, nullptr));
}

}  // namespace expunge
