#pragma once

#include <cstdint>
#include <memory>

#include "core/function_ref.h"

// The only place that knows threads. Callers cut work into chunks by its shape, never by the thread
// count; so results do not depend on how many threads there are (contracts: same bits for any
// thread count).
namespace expunge {

int thread_count();
// 0: as many as this process may run on (its CPU affinity).
void set_thread_count(int threads);

// Runs body(chunk) for each chunk in [0, chunks), in any order, perhaps at the same time; returns
// when all are done. An exception thrown by a chunk reaches the caller. Calls from inside a chunk
// run serially.
void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk)> body);

// Elements a chunk of elementwise work has: large enough to pay for the call, small enough to share
// out.
inline constexpr int64_t kElementChunk = 16384;

// Runs body(begin, end) over [0, n) cut into chunks of kElementChunk.
template <class Body>
void parallel_ranges(int64_t n, Body body) {
  const int64_t chunks = (n + kElementChunk - 1) / kElementChunk;
  parallel_for(chunks, [&](int64_t c) {
    const int64_t begin = c * kElementChunk,
                  end = begin + kElementChunk < n ? begin + kElementChunk : n;
    body(begin, end);
  });
}

// One thread that runs one job at a time beside the caller: prefetching, writing.
class Worker {
 public:
  Worker();
  ~Worker();  // waits for the job
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start(FunctionRef<void()> job);  // `job` must stay alive until wait() returned
  void wait();                          // rethrows what the job threw

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace expunge
