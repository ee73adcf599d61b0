#pragma once

#include "kernels/gate_opt.cuh"

// Only for gate_opt.cu: which elements the first feasible prefix may end among, so that no others
// are sorted. Their classes (math::opt_class) are found from sums by class in whole units, whose
// atomics may come in any order; a class is left out only where rounding cannot matter.
namespace expunge::kernels::cuda {
namespace {

constexpr unsigned kThreads = RadixSort::kThreads, kTile = RadixSort::kTile;
constexpr unsigned kOwn = kTile / kThreads;  // elements of a thread
constexpr int kClasses = math::kOptClasses;

// Of a tensor.
struct State {
  OptSums kept;        // of all behind the open classes
  double most;         // the largest product in size of a conflict; 0: nothing need be dropped
  double units;        // of one in the sums by class
  uint64_t from, to;   // open: keys from `from` on and below `to`; smaller ones are dropped
  uint32_t conflicts;  // open ones
  uint32_t first;      // how many of them are dropped
};

// Sums by class in units (math::OptSides): of both sides, of what they gain at most when some are
// dropped, and last of both sides of what has no conflict.
struct ClassSums {
  static constexpr int kSums = 4 * kClasses, kKept = kSums;
  enum Of { kForget = 0, kRetain = 1, kForgetGain = 2, kRetainGain = 3 };
  unsigned long long sum[kSums + 2];

  __device__ static int at(Of of, int c) { return of * kClasses + c; }
  __device__ int64_t of(Of of, int c) const { return static_cast<int64_t>(sum[at(of, c)]); }
};

struct Ranges {
  State* state;        // of each tensor
  ClassSums* classes;  // of each tensor
  OptSums* all;        // of each tile; then of what is kept for sure
  double* most;        // of each tile
};

// The elements of a tile, a row of threads at a time: body(element's sums). Some rows are read
// before any is worked on.
template <class Body>
__device__ void for_tile(const Opt& opt, const Array& array, unsigned number, const Body& body) {
  constexpr unsigned kRows = 4;
  const unsigned begin = number * kTile + threadIdx.x;
#pragma unroll 1
  for (unsigned k = 0; k < kOwn; k += kRows) {
    float f[kRows], r[kRows], phi[kRows];
#pragma unroll
    for (unsigned j = 0; j < kRows; ++j) {
      const unsigned i = begin + (k + j) * kThreads;
      const bool inside = i < array.size;
      f[j] = inside ? opt.g_f[i] : 0, r[j] = inside ? opt.g_r[i] : 0;
      phi[j] = inside ? math::opt_weight(opt, i) : 0;
    }
#pragma unroll
    for (unsigned j = 0; j < kRows; ++j)
      if (begin + (k + j) * kThreads < array.size) body(math::opt_sums(f[j], r[j], phi[j]));
  }
}

// The tiles of an array that a thread of its block adds up, in their order.
struct OwnTiles {
  unsigned begin, end;
  __device__ OwnTiles(const Array& array) {
    const unsigned own = (array.tiles() + kThreads - 1) / kThreads;
    begin = threadIdx.x * own;
    end = begin + own < array.tiles() ? begin + own : array.tiles();
  }
};

// What the largest is in a block. of_warp: shared, a number a warp.
__device__ double most_of_block(double mine, double* of_warp) {
  for (unsigned by = RadixSort::kWarp / 2; by > 0; by /= 2) {
    const double other = __shfl_xor_sync(0xffffffffu, mine, by);
    mine = other > mine ? other : mine;
  }
  if (threadIdx.x % RadixSort::kWarp == 0) of_warp[threadIdx.x / RadixSort::kWarp] = mine;
  __syncthreads();
  for (unsigned k = 0; k < RadixSort::kWarps; ++k) mine = of_warp[k] > mine ? of_warp[k] : mine;
  return mine;
}

// Sums of all, and the largest conflict, by tiles.
__global__ void __launch_bounds__(kThreads) sums_kernel(Flat flat, TiledArrays arrays, Ranges r) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 4 * kMostWarps);
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  OptSums all;
  double most = 0;
  for_tile(flat.of(array), array, tile.number, [&](const OptSums& element) {
    math::add(all, element);
    most = -element.uc > most ? -element.uc : most;
  });
  math::add(all, sum_before(all, of_warp));
  most = most_of_block(most, of_warp + 3 * kMostWarps);
  if (threadIdx.x == kThreads - 1) r.all[blockIdx.x] = all, r.most[blockIdx.x] = most;
}

// The same by tensors. Where the sum of all is feasible nothing is open.
__global__ void __launch_bounds__(kThreads) begin_kernel(Flat flat, TiledArrays arrays, Ranges r) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 4 * kMostWarps);
  const Array& array = arrays.of[blockIdx.x];
  const OwnTiles own(array);
  OptSums all;
  double most = 0;
  for (unsigned k = array.first_tile + own.begin; k < array.first_tile + own.end; ++k) {
    math::add(all, r.all[k]);
    most = r.most[k] > most ? r.most[k] : most;
  }
  math::add(all, sum_before(all, of_warp));
  most = most_of_block(most, of_warp + 3 * kMostWarps);
  unsigned long long* sums = r.classes[blockIdx.x].sum;
  for (unsigned k = threadIdx.x; k < ClassSums::kSums + 2u; k += kThreads) sums[k] = 0;
  if (threadIdx.x < kThreads - 1) return;
  State state{};
  if (!math::opt_feasible(flat.opt, all)) state.most = most;
  state.units = math::opt_units(all);
  r.state[blockIdx.x] = state;
}

// Shared sums of 64 bits: atomics of 32 are the processor's own.
struct SharedSums {
  unsigned *low, *high;
  __device__ void add(int at, int64_t units) const {
    if (units == 0) return;
    const auto bits = static_cast<uint64_t>(units);
    const auto part = static_cast<unsigned>(bits);
    const unsigned before = atomicAdd(&low[at], part), carry = before + part < before ? 1 : 0,
                   upper = static_cast<unsigned>(bits >> 32) + carry;
    if (upper != 0) atomicAdd(&high[at], upper);
  }
};

// Sums by class of tensors that are not feasible.
__global__ void __launch_bounds__(kThreads)
    classes_kernel(Flat flat, TiledArrays arrays, Ranges r) {
  start_kernel();
  KERNEL_SHARED(unsigned, low, ClassSums::kSums);
  KERNEL_SHARED(unsigned, high, ClassSums::kSums);
  KERNEL_SHARED(int64_t, of_warp, 2 * RadixSort::kWarps);
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  const Opt opt = flat.of(array);
  const double most = r.state[tile.array].most, units = r.state[tile.array].units;
  if (!(most > 0)) return;
  for (unsigned k = threadIdx.x; k < unsigned{ClassSums::kSums}; k += kThreads)
    low[k] = high[k] = 0;
  __syncthreads();
  const SharedSums sums{low, high};
  math::OptSides kept;
  for_tile(opt, array, tile.number, [&](const OptSums& element) {
    const math::OptSides its{math::in_units(math::opt_forget(opt, element), units),
                             math::in_units(math::opt_retain(opt, element), units)};
    if (!(element.uc < 0)) {
      kept = kept + its;
      return;
    }
    const int c = math::opt_class(most, -element.uc);
    sums.add(ClassSums::at(ClassSums::kForget, c), its.forget);
    sums.add(ClassSums::at(ClassSums::kRetain, c), its.retain);
    if (its.forget < 0) sums.add(ClassSums::at(ClassSums::kForgetGain, c), -its.forget);
    if (its.retain < 0) sums.add(ClassSums::at(ClassSums::kRetainGain, c), -its.retain);
  });
  kept.forget += kernels::sum_before(kept.forget, of_warp);  // behind whose barrier the sums stand
  kept.retain += kernels::sum_before(kept.retain, of_warp + RadixSort::kWarps);
  unsigned long long* of_tensor = r.classes[tile.array].sum;
  for (unsigned k = threadIdx.x; k < unsigned{ClassSums::kSums}; k += kThreads)
    if ((low[k] | high[k]) != 0)
      atomicAdd(&of_tensor[k], static_cast<unsigned long long>(high[k]) << 32 | low[k]);
  if (threadIdx.x < kThreads - 1) return;
  atomicAdd(&of_tensor[ClassSums::kKept], static_cast<unsigned long long>(kept.forget));
  atomicAdd(&of_tensor[ClassSums::kKept + 1], static_cast<unsigned long long>(kept.retain));
}

// From the first class that may have a feasible prefix to the first behind which all that is left
// is feasible. A thread a class, the last one first.
__global__ void __launch_bounds__(kClasses) range_kernel(TiledArrays arrays, Ranges r) {
  start_kernel();
  KERNEL_SHARED(int64_t, of_warp, 2 * kMostWarps);
  KERNEL_SHARED(int, ends, 2);
  State& state = r.state[blockIdx.x];
  if (!(state.most > 0)) return;
  const ClassSums& sums = r.classes[blockIdx.x];
  const int c = kClasses - 1 - static_cast<int>(threadIdx.x);
  const int64_t n = arrays.of[blockIdx.x].size;
  const math::OptSides kept{static_cast<int64_t>(sums.sum[ClassSums::kKept]),
                            static_cast<int64_t>(sums.sum[ClassSums::kKept + 1])},
      own{sums.of(ClassSums::kForget, c), sums.of(ClassSums::kRetain, c)},
      gain{sums.of(ClassSums::kForgetGain, c), sums.of(ClassSums::kRetainGain, c)},
      behind = kept + math::OptSides{kernels::sum_before(own.forget, of_warp),
                                     kernels::sum_before(own.retain, of_warp + kMostWarps)};
  if (threadIdx.x == 0) ends[0] = kClasses, ends[1] = kClasses - 1;
  __syncthreads();
  if (math::opt_may(behind, own, gain, n)) atomicMin(&ends[0], c);
  if (math::opt_does(behind, n)) atomicMin(&ends[1], c);  // and may: ends[0] is not behind it
  __syncthreads();
  if (threadIdx.x > 0) return;
  state.from = math::first_key(state.most, ends[0]);
  state.to = math::first_key(state.most, ends[1] + 1);
}

// Sums of what is kept for sure, by tiles.
__global__ void __launch_bounds__(kThreads) kept_kernel(Flat flat, TiledArrays arrays, Ranges r) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  const State& state = r.state[tile.array];
  if (!(state.most > 0)) return;
  const uint64_t to = state.to;
  OptSums kept;
  for_tile(flat.of(array), array, tile.number, [&](const OptSums& element) {
    if (math::conflict_key(element) >= to) math::add(kept, element);
  });
  math::add(kept, sum_before(kept, of_warp));
  if (threadIdx.x == kThreads - 1) r.all[blockIdx.x] = kept;
}

// And by tensors, when it is known how many are open. To drop them all would do.
__global__ void __launch_bounds__(kThreads)
    conflicts_kernel(TiledArrays arrays, Ranges r, RadixSort sort) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  KERNEL_SHARED(unsigned, counts, RadixSort::kWarps);
  const Array& array = arrays.of[blockIdx.x];
  State& state = r.state[blockIdx.x];
  if (!(state.most > 0)) return;
  const OwnTiles own(array);
  OptSums kept;
  for (unsigned k = array.first_tile + own.begin; k < array.first_tile + own.end; ++k)
    math::add(kept, r.all[k]);
  math::add(kept, sum_before(kept, of_warp));
  const unsigned mine = sort.totals_of(blockIdx.x)[threadIdx.x],
                 open = kernels::sum_before(mine, counts) + mine;
  if (threadIdx.x == kThreads - 1) {
    state.kept = kept;
    state.conflicts = state.first = open;
  }
}

}  // namespace
}  // namespace expunge::kernels::cuda
