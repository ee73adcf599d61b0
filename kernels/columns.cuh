#pragma once

#include "kernels/beside.cuh"
#include "kernels/columns.h"
#include "kernels/launch.h"
#include "kernels/vector.cuh"

// Columns of (rows, C) brought to a few numbers each, in a fixed order: threads over rows, then a
// tree over a block, then the parts. One such array, or two side by side; their results come in
// turn.
//
// Work: a struct of device pointers and numbers with
//   using State = Partial<n>                             what a column is brought to
//   static constexpr int kVector                         neighbouring columns moved at once
//   template <int V> void take(int64_t begin, int64_t end, int64_t step, int64_t c,
//                              State (&state)[V]) const  rows begin, begin + step, ... of columns
//                                                        [c, c + V), into the states
//   static void merge(State& into, const State& other)   all 0: of no rows
//   void finish(int64_t c, const State& state) const     of all rows
//   static constexpr bool kFinishesSmall                 whether arrays of one part may be finished
//                                                        by its block, in one launch instead of
//                                                        two: finish() should be short then
namespace expunge::kernels {

template <int n>
struct alignas(n % 2 == 0 ? 16 : 8) Partial {
  double v[n];
};

// A plain sum of n numbers.
template <int n>
__device__ void add(Partial<n>& into, const Partial<n>& other) {
  for (int k = 0; k < n; ++k) into.v[k] += other.v[k];
}

template <class Work>
struct ColumnJob {
  int64_t rows, part, parts;
  Work work;
};
template <class Work, int kMost>
using ColumnJobs = Beside<ColumnJob<Work>, kMost>;

// Of a multiprocessor, at least: told so, nvcc leaves registers enough to all loads of a row.
constexpr int kBlocksAtOnce = 2;

// Threads (x, y) of a block: V columns each, and rows y, y + blockDim.y, ... of its part. Their
// states lie in shared memory as (y, column), columns ordered by (v, x): neighbours write side by
// side. Then a thread takes V of a column's states, and a tree what is left of it. Of each job
// parts are (C, its parts): those who finish a column read side by side. kWhole: each job has one
// part, which is finished here.
template <int V, bool kWhole, class Work, int kMost>
__global__ void __launch_bounds__(ColumnGrid::kThreads, kBlocksAtOnce)
    columns_kernel(int64_t C, ColumnJobs<Work, kMost> jobs, typename Work::State* parts) {
  start_kernel();
  using State = typename Work::State;
  KERNEL_SHARED(State, shared, ColumnGrid::kThreads * V);
  unsigned block = blockIdx.y;
  const ColumnJob<Work>& job = jobs.take(block);
  const int64_t c = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * V;
  const int64_t begin = int64_t{block} * job.part,
                end = begin + job.part < job.rows ? begin + job.part : job.rows;
  State state[V] = {};
  if (c < C) job.work.template take<V>(begin + threadIdx.y, end, int64_t{blockDim.y}, c, state);
  const unsigned columns = blockDim.x * V, thread = threadIdx.y * blockDim.x + threadIdx.x;
  for (unsigned v = 0; v < V; ++v)
    shared[threadIdx.y * columns + v * blockDim.x + threadIdx.x] = state[v];
  __syncthreads();
  const unsigned column = thread % columns, group = thread / columns,
                 groups = ColumnGrid::kThreads / columns;
  State mine = {};
  for (unsigned k = 0; k < V; ++k) Work::merge(mine, shared[(group * V + k) * columns + column]);
  __syncthreads();
  shared[thread] = mine;
  for (unsigned half = groups / 2; half > 0; half /= 2) {
    __syncthreads();
    if (group < half) Work::merge(shared[thread], shared[thread + half * columns]);
  }
  const int64_t at =
      (int64_t{blockIdx.x} * blockDim.x + column % blockDim.x) * V + column / blockDim.x;
  if (group != 0 || at >= C) return;
  if constexpr (kWhole)
    job.work.finish(at, shared[thread]);
  else
    parts[(blockIdx.y - block) * C + at * job.parts + block] = shared[thread];
}

constexpr unsigned kWarp = 32, kFinishLanes = 128;

// kFinishLanes threads a column take its parts in turn; then warps, then the columns' warps.
template <class Work, int kMost>
__global__ void __launch_bounds__(ColumnGrid::kThreads, kBlocksAtOnce)
    columns_finish_kernel(int64_t C, ColumnJobs<Work, kMost> jobs,
                          const typename Work::State* part) {
  start_kernel();
  using State = typename Work::State;
  constexpr unsigned kAll = 0xffffffffu, kWarps = kFinishLanes / kWarp;
  KERNEL_SHARED(State, shared, ColumnGrid::kThreads / kWarp);
  const unsigned lane = threadIdx.x % kFinishLanes;
  const int64_t c = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kFinishLanes;
#pragma unroll  // otherwise registers spill
  for (int number = 0; number < kMost; ++number) {
    if (number == jobs.count) return;
    const ColumnJob<Work>& job = jobs.of[number];
    State state = {};
    if (c < C)
      for (int64_t k = lane; k < job.parts; k += kFinishLanes)
        Work::merge(state, part[c * job.parts + k]);
    for (unsigned lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      State other;
      for (int k = 0; k < static_cast<int>(sizeof(other.v) / sizeof(double)); ++k)
        other.v[k] = __shfl_down_sync(kAll, state.v[k], lanes);
      Work::merge(state, other);
    }
    if (lane % kWarp == 0) shared[threadIdx.x / kWarp] = state;
    __syncthreads();
    if (lane == 0 && c < C) {
      for (unsigned k = 1; k < kWarps; ++k) Work::merge(state, shared[threadIdx.x / kWarp + k]);
      job.work.finish(c, state);
    }
    part += job.parts * C;
    __syncthreads();
  }
}

template <class Work>
size_t columns_workspace(const ColumnGrid& grid) {
  return static_cast<size_t>(grid.parts() * grid.C) * sizeof(typename Work::State);
}

// One array or two, of as many columns, moved as many at once: their columns side by side.
template <class Work, int kMost>
class ColumnSet {
 public:
  void add(const ColumnGrid& grid, const Work& work) {
    grid_ = grid;
    jobs_.add({grid.rows, grid.part, grid.parts(), work}, static_cast<unsigned>(grid.parts()));
  }
  // workspace: columns_workspace bytes of each
  void reduce(const StreamAt& stream, void* workspace) const {
    const int64_t C = grid_.C;
    if (C == 0) return;
    auto* parts = static_cast<typename Work::State*>(workspace);
    if constexpr (Work::kFinishesSmall)
      if (is_small()) return sum<true>(stream, parts);
    if (jobs_.all_blocks() > 0) sum<false>(stream, parts);
    launch(columns_finish_kernel<Work, kMost>, blocks_for(C, ColumnGrid::kThreads / kFinishLanes),
           ColumnGrid::kThreads, 0, stream, C, jobs_,
           const_cast<const typename Work::State*>(parts));
  }

 private:
  bool is_small() const {
    for (int k = 0; k < jobs_.count; ++k)
      if (jobs_.of[k].parts != 1) return false;
    return true;
  }
  template <bool kWhole>
  void sum(const StreamAt& stream, typename Work::State* parts) const {
    const dim3 blocks(static_cast<unsigned>(grid_.blocks()), jobs_.all_blocks()),
        threads(grid_.threads, ColumnGrid::kThreads / grid_.threads);
    launch(grid_.vector > 1 ? columns_kernel<Work::kVector, kWhole, Work, kMost>
                            : columns_kernel<1, kWhole, Work, kMost>,
           blocks, threads, 0, stream, grid_.C, jobs_, parts);
  }

  ColumnGrid grid_{0, 0};  // of the last: all have its columns, and move as many at once
  ColumnJobs<Work, kMost> jobs_;
};

template <class Work>
void reduce_columns(const StreamAt& stream, const ColumnGrid& grid, const Work& work,
                    void* workspace) {
  ColumnSet<Work, 1> one;
  one.add(grid, work);
  one.reduce(stream, workspace);
}

}  // namespace expunge::kernels
