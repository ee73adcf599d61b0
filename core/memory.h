#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/device.h"

namespace expunge {

// A block of a caching pool: 256-byte aligned bytes behind their header, or on a GPU apart from it,
// counted by their users. Returned blocks wait in a list of their size class, so a steady training
// step asks the system for nothing. A GPU's block may be taken again while work that was queued
// earlier still uses it: all of a pool's work goes to one stream, which keeps the order; a side
// stream has an area of its own (core/side_stream.h).
struct BlockLists;
struct Block {
  std::atomic<int> users{1};
  int size_class = 0;
  size_t capacity = 0;         // bytes that follow the header
  size_t asked = 0;            // of them in use
  bool painted = false;        // guard zones are filled
  BlockLists* home = nullptr;  // where it waits when nobody uses it
  Block* next = nullptr;
  void* memory = nullptr;  // what the system gave
  void* bytes = nullptr;
  Stream stream{};

  static constexpr size_t kAlign = 256;
};

// A block of at least `bytes` where the stream works; contents are whatever was there. Throws
// Error(ExitCode::memory).
Block* pool_acquire(size_t bytes, Stream stream = {});
void pool_release(Block* block);

// A part of the GPU's pool for one user alone. While it is entered, every block for a GPU comes
// from it, and goes back to it whenever it is dropped: what was queued with such addresses can be
// repeated later, and nobody else has written there meanwhile. Its blocks live as long as it does.
class PoolArea {
 public:
  PoolArea();
  ~PoolArea();
  PoolArea(const PoolArea&) = delete;

  class Entered {
   public:
    explicit Entered(const PoolArea& area);
    ~Entered();
    Entered(const Entered&) = delete;

   private:
    BlockLists* before_;
  };

 private:
  BlockLists* lists_;
};

struct PoolStats {
  int64_t system_allocations;  // calls to the system so far: constant over steady steps
  int64_t bytes_in_use;
  int64_t bytes_held;  // in use and cached
  int64_t peak_bytes_in_use;
};
PoolStats pool_stats(Device device = Device::cpu);
void pool_restart_peak();  // peak_bytes_in_use becomes what is in use now, on every device

// Gives cached blocks of every device back to the system.
void pool_trim();

// For tests, on the CPU: fresh blocks are filled with NaN, and what lies before and behind the
// bytes asked for is checked when a block is released. Returns how many blocks were found
// overwritten since the last call.
int64_t pool_guard(bool on);

}  // namespace expunge
