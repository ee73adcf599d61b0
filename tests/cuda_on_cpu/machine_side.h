#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "vector_types.h"

// What host code calls of the machine that runs kernels: launches, and the settings of a run.
struct CUstream_st;

namespace cuda_on_cpu {

// Bytes of shared memory that a block of compute capability 9.0 can have.
constexpr size_t kMostShared = 227 << 10;

// A launch: what to run, for each thread with the same arguments.
struct Grid {
  const void* kernel = nullptr;
  dim3 blocks, threads;
  size_t shared_bytes = 0;
  std::shared_ptr<const void> arguments;
  size_t argument_bytes = 0;
  bool overlaps = false;  // may be launched while kernels before run
  void (*run_thread)(const void* kernel, const void* arguments) = nullptr;
};

// Puts the launch into the stream's queue; what CUDA would refuse ends the program here.
void submit(const Grid& grid, CUstream_st* stream);

// A pointer that is an argument itself must be to device memory, or null. Pointers inside structs
// are seen by the race check when they are used.
void check_pointer(const void* kernel, int argument, const void* p);
template <class T>
void check_argument(const void* kernel, int argument, const T& value) {
  if constexpr (std::is_pointer_v<T>) check_pointer(kernel, argument, value);
}

// ascending, descending: by the number of block and thread. shuffled: each thread and block gets a
// random rank, warp by warp where the seed is odd. The ready thread of lowest rank runs until it
// waits: ranks, unlike a fresh choice each time, let some threads lag far behind.
enum class Order : unsigned char { ascending, descending, shuffled };
// eager: work is done where it is queued. lazy: where something waits for it.
enum class Streams : unsigned char { eager, lazy };

// From the environment at first use: EXPUNGE_CUDA_ORDER, EXPUNGE_CUDA_SEED, EXPUNGE_CUDA_STREAMS,
// and EXPUNGE_CUDA_SKIP=FILE:LINE, a barrier to be left out.
struct Options {
  Order order = Order::ascending;
  uint64_t seed = 1;
  Streams streams = Streams::lazy;
  const char* skip = nullptr;
  uint64_t closed_mb = 4;  // up to which device memory is closed to the host: it takes time
  uint64_t memory_mb = UINT64_MAX >> 20;  // that the device has
};
Options& options();

// How the kernels were compiled: what finds faults.
enum class Build : unsigned char { plain, sanitized, race };
Build build();

}  // namespace cuda_on_cpu
