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

// Sums of a class in units: of both sides of the condition, and what these gain at most when some
// are dropped.
struct ClassSums {
  unsigned long long forget[kClasses], retain[kClasses], forget_gain[kClasses],
      retain_gain[kClasses], kept[2];  // kept: both sides of what has no conflict
};
constexpr unsigned kClassNumbers = sizeof(ClassSums) / sizeof(unsigned long long);

struct Ranges {
  State* state;        // of each tensor
  ClassSums* classes;  // of each tensor
  OptSums* all;        // of each tile; then of what is kept for sure
  double* most;        // of each tile
};

// The elements of a tile, a row of threads at a time: body(element's sums).
template <class Body>
__device__ void for_tile(const Opt& opt, const Array& array, unsigned number, const Body& body) {
#pragma unroll 2  // by 4 registers spill on compute capability 9.0
  for (unsigned k = 0; k < kOwn; ++k) {
    const unsigned i = number * kTile + k * kThreads + threadIdx.x;
    if (i >= array.size) return;
    body(math::opt_sums(opt, i));
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
  auto* sums = reinterpret_cast<unsigned long long*>(r.classes + blockIdx.x);
  for (unsigned k = threadIdx.x; k < kClassNumbers; k += kThreads) sums[k] = 0;
  if (threadIdx.x < kThreads - 1) return;
  State state{};
  if (!math::opt_feasible(flat.opt, all)) state.most = most;
  state.units = math::opt_units(all);
  r.state[blockIdx.x] = state;
}

__device__ void add_units(unsigned long long* sum, int64_t units) {
  if (units != 0) atomicAdd(sum, static_cast<unsigned long long>(units));
}

// Sums by class of tensors that are not feasible.
__global__ void __launch_bounds__(kThreads)
    classes_kernel(Flat flat, TiledArrays arrays, Ranges r) {
  KERNEL_SHARED(unsigned long long, shared, kClassNumbers);
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  const Opt opt = flat.of(array);
  const double most = r.state[tile.array].most, units = r.state[tile.array].units;
  if (!(most > 0)) return;
  auto& sums = *reinterpret_cast<ClassSums*>(shared);
  for (unsigned k = threadIdx.x; k < kClassNumbers; k += kThreads) shared[k] = 0;
  __syncthreads();
  int64_t kept_forget = 0, kept_retain = 0;
  for_tile(opt, array, tile.number, [&](const OptSums& element) {
    const int64_t forget = math::in_units(math::opt_forget(opt, element), units),
                  retain = math::in_units(math::opt_retain(opt, element), units);
    if (!(element.uc < 0)) {
      kept_forget += forget, kept_retain += retain;
      return;
    }
    const int c = math::opt_class(most, -element.uc);
    add_units(&sums.forget[c], forget), add_units(&sums.retain[c], retain);
    if (forget < 0) add_units(&sums.forget_gain[c], -forget);
    if (retain < 0) add_units(&sums.retain_gain[c], -retain);
  });
  add_units(&sums.kept[0], kept_forget), add_units(&sums.kept[1], kept_retain);
  __syncthreads();
  auto* of_tensor = reinterpret_cast<unsigned long long*>(r.classes + tile.array);
  for (unsigned k = threadIdx.x; k < kClassNumbers; k += kThreads)
    if (shared[k] != 0) atomicAdd(&of_tensor[k], shared[k]);
}

// From the first class that may have a feasible prefix to the first behind which all that is left
// is feasible. A thread a class, the last one first.
__global__ void __launch_bounds__(kClasses) range_kernel(TiledArrays arrays, Ranges r) {
  KERNEL_SHARED(int64_t, of_warp, 2 * kMostWarps);
  KERNEL_SHARED(int, ends, 2);
  State& state = r.state[blockIdx.x];
  if (!(state.most > 0)) return;
  const ClassSums& sums = r.classes[blockIdx.x];
  const int c = kClasses - 1 - static_cast<int>(threadIdx.x);
  const auto of = [](unsigned long long units) { return static_cast<int64_t>(units); };
  const int64_t forget = of(sums.forget[c]), retain = of(sums.retain[c]),
                behind_forget = of(sums.kept[0]) + kernels::sum_before(forget, of_warp),
                behind_retain =
                    of(sums.kept[1]) + kernels::sum_before(retain, of_warp + kMostWarps),
                rounding = math::kOptRounding + arrays.of[blockIdx.x].size;
  const bool may = behind_forget + forget + of(sums.forget_gain[c]) >= -rounding &&
                   behind_retain + retain + of(sums.retain_gain[c]) >= -rounding,
             does = behind_forget >= rounding && behind_retain >= rounding;
  if (threadIdx.x == 0) ends[0] = kClasses, ends[1] = kClasses - 1;
  __syncthreads();
  if (may) atomicMin(&ends[0], c);
  if (does) atomicMin(&ends[1], c);  // and may: ends[0] is not behind it
  __syncthreads();
  if (threadIdx.x > 0) return;
  state.from = math::first_key(state.most, ends[0]);
  state.to = math::first_key(state.most, ends[1] + 1);
}

// Sums of what is kept for sure, by tiles.
__global__ void __launch_bounds__(kThreads) kept_kernel(Flat flat, TiledArrays arrays, Ranges r) {
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
