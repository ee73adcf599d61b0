#pragma once

#include <cstdint>

#include "kernels/launch.h"

namespace expunge::kernels {

// Jobs alike, one or two, that a launch does side by side, each with blocks of its own: those of
// the first come first. Job: a struct of device pointers and numbers. Small enough to be an
// argument.
template <class Job, int kMost>
struct Beside {
  static_assert(kMost == 1 || kMost == 2);

  Job of[kMost]{};
  unsigned blocks[kMost]{};
  int count = 0;

  void add(const Job& job, unsigned its_blocks) {  // at most kMost times
    of[count] = job;
    blocks[count++] = its_blocks;
  }
  unsigned all_blocks() const {
    unsigned all = 0;
    for (const unsigned own : blocks) all += own;
    return all;
  }
  // Whose block `block` is; and which of its blocks, from then on.
  __device__ const Job& take(unsigned& block) const {
    if (kMost == 1 || block < blocks[0]) return of[0];
    block -= blocks[0];
    return of[kMost - 1];
  }
  // work(job, its block): in code of its own for each, which reads its numbers from where the
  // launch left them
  template <class Work>
  __device__ void with(unsigned block, Work work) const {
    if (kMost == 1 || block < blocks[0])
      work(of[0], block);
    else
      work(of[kMost - 1], block - blocks[0]);
  }
};

constexpr unsigned kBesideThreads = 256;

template <class Body>
__global__ void __launch_bounds__(kBesideThreads) beside_kernel(Beside<Body, 2> bodies) {
  start_kernel();
  bodies.with(blockIdx.x, [](const Body& body, unsigned block) {
    const int64_t i = int64_t{block} * kBesideThreads + threadIdx.x;
    if (i < body.n) body(i);
  });
}

// Several of kernels/each.cuh: body(i) for each i in [0, body.n).
template <class Body>
class EachBeside {
 public:
  void add(const Body& body) { bodies_.add(body, blocks_for(body.n, kBesideThreads)); }
  void run(const StreamAt& stream) const {
    if (bodies_.all_blocks() == 0) return;
    launch(beside_kernel<Body>, bodies_.all_blocks(), kBesideThreads, 0, stream, bodies_);
  }

 private:
  Beside<Body, 2> bodies_;
};

}  // namespace expunge::kernels
