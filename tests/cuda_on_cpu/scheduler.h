#pragma once

#include <bit>
#include <memory>
#include <vector>

#include "cuda_on_cpu/fiber.h"
#include "cuda_on_cpu/kernel_side.h"
#include "cuda_on_cpu/machine_side.h"

// One block at a time on fibers, one thread at a time. A thread runs until it waits; then the ready
// thread of lowest rank goes on. A thread that never waits is an ordinary call: fibers are taken
// only for threads that are left waiting.
namespace cuda_on_cpu {

inline constexpr unsigned kWarp = 32, kMostThreads = 1024;

enum class State : unsigned char { ready, at_block_barrier, at_warp_operation, returned };

struct Thread {
  uint3 index{};
  unsigned number = 0, rank = 0;
  State state = State::ready;
  bool started = false;           // start_kernel()
  Fiber* fiber = nullptr;         // null: not begun
  Site site{};                    // where it waits
  uint32_t mask = 0;              // with whom, for warp operations
  std::vector<AsyncCopy> copies;  // all that it ever asked for
  std::vector<size_t> groups;     // how many those were at the end of each group
  size_t copied = 0;

  unsigned warp() const { return number / kWarp; }
  unsigned lane() const { return number % kWarp; }
  uint32_t bit() const { return 1u << lane(); }
};

// Lanes that meet, and what they bring. It lives until the last of them has read.
struct WarpOperation {
  uint32_t mask = 0, arrived = 0, read = 0;
  Site site{};
  uint64_t brought[kWarp]{};
};

struct Warp {
  uint32_t returned = 0;
  uint32_t barriers = 0;  // completed so far
  std::vector<WarpOperation*> open;
};

struct SharedArray {
  const void* key;
  unsigned char* bytes;
  size_t size, align;
};

// Which ranks may run.
class ReadyRanks {
 public:
  void add(unsigned rank) { word_[rank / 64] |= uint64_t{1} << rank % 64; }
  int take_lowest() {  // -1: none
    for (unsigned w = 0; w < kMostThreads / 64; ++w) {
      if (word_[w] == 0) continue;
      const auto bit = static_cast<unsigned>(std::countr_zero(word_[w]));
      word_[w] &= word_[w] - 1;
      return static_cast<int>(64 * w + bit);
    }
    return -1;
  }

 private:
  uint64_t word_[kMostThreads / 64]{};
};

struct Block {
  const Grid* grid = nullptr;
  uint32_t first_number = 0, number = 0;  // among all blocks that ever ran: this launch's, its own
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<unsigned> by_rank;  // thread numbers
  ReadyRanks ready;
  unsigned waiting = 0, returned = 0;
  Site barrier{};         // where those wait that wait for the block
  uint32_t barriers = 0;  // passed so far
  std::vector<SharedArray> shared;
  size_t shared_bytes = 0;
};

extern Block* block;     // null between launches
extern Thread* running;  // null while the machine itself works
extern Fiber* fiber;     // that runs
extern bool atomic_now;  // an Atomic lives

// The thread that called into the machine; it runs again when this goes.
class Call {
 public:
  Call() : me_(*running) { running = nullptr; }
  ~Call() { running = &me_; }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  Thread& me() const { return me_; }

 private:
  Thread& me_;
};

bool is_skipped(Site site);  // options().skip
void wait(Thread& me);       // until somebody makes it ready
void make_ready(Thread& thread);
void release_shared();  // of the block that ends

void run_grid(const Grid& grid);

// Xorshift; zero never comes.
struct Dice {
  uint64_t state;
  uint64_t operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

}  // namespace cuda_on_cpu
