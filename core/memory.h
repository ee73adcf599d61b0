#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace expunge {

// A block of the caching pool: a header in front of 256-byte aligned bytes, counted by its users.
// Returned blocks wait in a list of their size class, so a steady training step asks the system for
// nothing.
struct Block {
  std::atomic<int> users{1};
  int size_class = 0;
  size_t capacity = 0;   // bytes that follow the header
  size_t asked = 0;      // of them in use
  bool painted = false;  // guard zones are filled
  Block* next = nullptr;
  void* memory = nullptr;  // what the system gave: the header or bytes before it

  static constexpr size_t kAlign = 256;
  void* bytes() { return reinterpret_cast<unsigned char*>(this) + kAlign; }
};

// A block of at least `bytes`; contents are whatever was there. Throws Error(ExitCode::memory).
Block* pool_acquire(size_t bytes);
void pool_release(Block* block);

struct PoolStats {
  int64_t system_allocations;  // calls to the system so far: constant over steady steps
  int64_t bytes_in_use;
  int64_t bytes_held;  // in use and cached
  int64_t peak_bytes_in_use;
};
PoolStats pool_stats();
void pool_restart_peak();  // peak_bytes_in_use becomes what is in use now

// Gives cached blocks back to the system.
void pool_trim();

// For tests: fresh blocks are filled with NaN, and what lies before and behind the bytes asked for
// is checked when a block is released. Returns how many blocks were found overwritten since the
// last call.
int64_t pool_guard(bool on);

}  // namespace expunge
