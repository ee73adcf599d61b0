#pragma once

#include <cstddef>
#include <cstdint>

#include "vector_types.h"

// What kernels call of the machine that runs them (scheduler.cpp, race.cpp): language.h puts CUDA's
// names on it.
namespace cuda_on_cpu {

// Where the running thread stands.
struct Here {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
};
extern Here here;

// A line of a kernel: the hidden last argument of barriers and warp operations.
struct Site {
  const char* file = nullptr;
  unsigned line = 0;
};

void block_barrier(Site site);
void warp_barrier(uint32_t mask, Site site);
// Meets the lanes of `mask`; the bits that lane `source` brought.
uint64_t shuffle(uint32_t mask, uint64_t bits, unsigned source, Site site);
// Meets the lanes of `mask`; bit i: what lane i of them brought.
uint32_t ballot(uint32_t mask, bool predicate, Site site);
// Meets all lanes of the warp, of which each brings a, b and d as kernels/mma.cuh has them.
// number(word, half): what words of a and b are; of one number or of two.
using NumberOfWord = float (*)(uint32_t word, int half);
void multiply_matrices(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       int numbers_of_word, NumberOfWord number, Site site);
unsigned lane();
void note_start();                           // that the running thread called start_kernel()
void check_row(const void* row, Site site);  // dies of one that is not at a multiple of 16 bytes

// Copies of 16 bytes beside the thread (kernels/async_copy.cuh), which may be made at any time
// until it waits for them: at once (early), so that who still reads what was there shows, or where
// it waits, so that who does not wait shows. from null: zeros.
struct AsyncCopy {
  float* to = nullptr;
  const float* from = nullptr;
};
bool copies_early(const AsyncCopy& copy);  // dies of one that is not at multiples of 16 bytes
void queue_copy(const AsyncCopy& copy);
void close_copies();
// The next copy that is due where so many groups may be on their way still; to null: none.
AsyncCopy take_copy(unsigned groups);

// The block's array for this key, made at first use and filled with NaN; and the one whose size the
// launch gave.
void* static_shared(const void* key, size_t bytes, size_t align);
void* dynamic_shared();

// Accesses of the running thread are atomic in its life time.
struct Atomic {
  Atomic();
  ~Atomic();
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;
};

}  // namespace cuda_on_cpu
