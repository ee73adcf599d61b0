#include "kernels/gate_opt_range.cuh"
#include "kernels/gate_tensors.cuh"

// OPT of several tensors side by side: the open elements (gate_opt_range.cuh) in order; sums over
// what is left behind each prefix, from the other end; the first of them that is feasible. All sums
// in a fixed order, and nothing waits for the host.
namespace expunge::kernels::cuda {
namespace {

struct Workspace {
  Ranges ranges;
  OptSums* tile_sums;  // of each tile of sorted elements; then of what is behind it
  RadixSort sort;
  __device__ State& state(unsigned tensor) const { return ranges.state[tensor]; }
};

// What the first pass sorts, and what the others do.
struct Open {
  Flat flat;
  const State* state;
  struct Elements {
    Opt opt;
    uint32_t n;
    uint64_t from, to;
    __device__ uint32_t size() const { return n; }
    __device__ uint64_t key(uint32_t i) const {
      const uint64_t key = math::conflict_key(math::opt_sums(opt, i));
      return key >= from && key < to ? key : RadixSort::kLeftOut;
    }
    __device__ uint32_t index(uint32_t i) const { return i; }
  };
  __device__ Elements of(unsigned number, const Array& array) const {
    const State& its = state[number];
    return {flat.of(array), its.most > 0 ? array.size : 0, its.from, its.to};
  }
};
struct Moved {
  Sorted all;
  const State* state;
  struct Elements {
    Sorted from;
    uint32_t n;
    __device__ uint32_t size() const { return n; }
    __device__ uint64_t key(uint32_t i) const { return from.key[i]; }
    __device__ uint32_t index(uint32_t i) const { return from.index[i]; }
  };
  __device__ Elements of(unsigned number, const Array& array) const {
    return {all.of(array), state[number].conflicts};
  }
};

// Threads take the elements of a tile from its end, so that what is left behind a prefix is a sum
// of threads before.
struct Own {
  uint64_t begin, end;
  __device__ Own(unsigned tile, uint64_t size) {
    begin = uint64_t{tile} * kTile + (kThreads - 1 - threadIdx.x) * kOwn;
    end = begin + kOwn < size ? begin + kOwn : size;
  }
};
__device__ OptSums own_sums(const Opt& opt, const Own& own, const Sorted& sorted) {
  OptSums mine;
#pragma unroll 1  // otherwise registers of first_kernel spill on compute capability 9.0
  for (uint64_t k = own.end; k-- > own.begin;)
    math::add(mine, math::opt_sums(opt, sorted.index[k]));
  return mine;
}

__global__ void __launch_bounds__(kThreads)
    tiles_kernel(Flat flat, TiledArrays arrays, Workspace w) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  const Own own(tile.number, w.state(tile.array).conflicts);
  const OptSums mine = own_sums(flat.of(array), own, w.sort.buffer[1].of(array));
  OptSums sums = sum_before(mine, of_warp);
  math::add(sums, mine);
  if (threadIdx.x == kThreads - 1) w.tile_sums[blockIdx.x] = sums;
}

// tiles[k] becomes what is behind tile k: the tensor's tiles after it, and what is kept.
__global__ void __launch_bounds__(kThreads) behind_kernel(TiledArrays arrays, Workspace w) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const Array& array = arrays.of[blockIdx.x];
  OptSums* of_tile = w.tile_sums + array.first_tile;
  const unsigned tiles = array.tiles(), own = (tiles + kThreads - 1) / kThreads,
                 begin = (kThreads - 1 - threadIdx.x) * own,
                 end = begin + own < tiles ? begin + own : tiles;
  OptSums mine;
  for (unsigned k = end; k > begin; --k) math::add(mine, of_tile[k - 1]);
  OptSums behind = w.state(blockIdx.x).kept;
  math::add(behind, sum_before(mine, of_warp));
  for (unsigned k = end; k > begin; --k) {
    const OptSums tile = of_tile[k - 1];
    of_tile[k - 1] = behind;
    math::add(behind, tile);
  }
}

__global__ void __launch_bounds__(kThreads)
    first_kernel(Flat flat, TiledArrays arrays, Workspace w) {
  start_kernel();
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  const Opt opt = flat.of(array);
  const Sorted sorted = w.sort.buffer[1].of(array);
  State& state = w.state(tile.array);
  const uint32_t conflicts = state.conflicts;
  const Own own(tile.number, conflicts);
  OptSums left = w.tile_sums[blockIdx.x];
  math::add(left, sum_before(own_sums(opt, own, sorted), of_warp));
  uint64_t first = conflicts;
#pragma unroll 1  // here too
  for (uint64_t k = own.end; k-- > own.begin;) {
    math::add(left, math::opt_sums(opt, sorted.index[k]));
    if (math::opt_feasible(opt, left)) first = k;
  }
  if (first < conflicts) atomicMin(&state.first, static_cast<uint32_t>(first));
}

__device__ bool is_dropped(const State& state, const Sorted& sorted, uint64_t key, uint32_t i) {
  if (key < state.from) return true;
  if (key >= state.to || state.first == 0) return false;
  if (state.first == state.conflicts) return true;
  const uint64_t least = sorted.key[state.first];
  return key < least || (key == least && i < sorted.index[state.first]);
}

__global__ void __launch_bounds__(kThreads)
    write_kernel(Flat flat, TiledArrays arrays, Workspace w) {
  start_kernel();
  const Tile tile(arrays, blockIdx.x);
  const Array& array = arrays.of[tile.array];
  const Opt opt = flat.of(array);
  const State state = w.state(tile.array);
  const Sorted sorted = w.sort.buffer[1].of(array);
  for (unsigned k = 0; k < kOwn; ++k) {
    const unsigned i = tile.number * kTile + k * kThreads + threadIdx.x;
    if (i >= array.size) return;
    const bool dropped = is_dropped(state, sorted, math::conflict_key(math::opt_sums(opt, i)), i);
    flat.w[array.offset + i] = dropped ? 0.0f : static_cast<float>(math::opt_weight(opt, i));
  }
}

// Places in memory, one behind the other; without memory they are only counted.
struct Places {
  unsigned char* memory;
  size_t bytes = 0;
  template <class T>
  T* of(size_t n) {
    unsigned char* place = memory == nullptr ? nullptr : memory + bytes;
    bytes += (n * sizeof(T) + 255) / 256 * 256;
    return reinterpret_cast<T*>(place);
  }
};

Workspace places(const TiledArrays& arrays, Places& memory) {
  const auto count = static_cast<size_t>(arrays.count);
  const size_t tiles = arrays.tiles, size = tiles * kTile;
  Workspace w{};
  w.ranges = {memory.of<State>(count), memory.of<ClassSums>(count), memory.of<OptSums>(tiles),
              memory.of<double>(tiles)};
  w.tile_sums = memory.of<OptSums>(tiles);
  w.sort.counts = memory.of<unsigned>(RadixSort::kDigits * tiles);
  w.sort.totals = memory.of<unsigned>(RadixSort::kDigits * count);
  for (Sorted& buffer : w.sort.buffer)
    buffer = {memory.of<uint64_t>(size), memory.of<uint32_t>(size)};
  return w;
}

void opt_of_many(Stream stream, const Flat& flat, const TiledArrays& arrays, void* workspace) {
  Places memory{static_cast<unsigned char*>(workspace)};
  const Workspace w = places(arrays, memory);
  const auto count = static_cast<unsigned>(arrays.count);
  launch(sums_kernel, arrays.tiles, kThreads, 0, stream, flat, arrays, w.ranges);
  launch(begin_kernel, count, kThreads, 0, stream, flat, arrays, w.ranges);
  launch(classes_kernel, arrays.tiles, kThreads, 0, stream, flat, arrays, w.ranges);
  launch(range_kernel, count, kClasses, 0, stream, arrays, w.ranges);
  launch(kept_kernel, arrays.tiles, kThreads, 0, stream, flat, arrays, w.ranges);
  sort_pass(stream, Open{flat, w.ranges.state}, 0, arrays, w.sort);
  launch(conflicts_kernel, count, kThreads, 0, stream, arrays, w.ranges, w.sort);
  for (int pass = 1; pass < RadixSort::kPasses; ++pass)
    sort_pass(stream, Moved{w.sort.buffer[(pass - 1) % 2], w.ranges.state}, pass, arrays, w.sort);
  launch(tiles_kernel, arrays.tiles, kThreads, 0, stream, flat, arrays, w);
  launch(behind_kernel, count, kThreads, 0, stream, arrays, w);
  launch(first_kernel, arrays.tiles, kThreads, 0, stream, flat, arrays, w);
  launch(write_kernel, arrays.tiles, kThreads, 0, stream, flat, arrays, w);
}

bool is_few(int64_t size) {
  return size <= int64_t{kFew};
}
bool is_many(int64_t size) {
  return !is_few(size);
}

}  // namespace

size_t gate_opt_workspace(std::span<const GateTensor> tensors) {
  size_t most = 0;
  for_launches(tensors, is_many, [&](const TiledArrays& arrays) {
    Places memory{nullptr};
    places(arrays, memory);
    most = memory.bytes > most ? memory.bytes : most;
  });
  return most;
}

void gate_opt(Stream stream, std::span<const GateTensor> tensors, const float* g_f,
              const float* g_r, const float* phi, double beta, float* w, void* workspace) {
  const Flat flat{{g_f, g_r, phi, beta}, w};
  for_launches(tensors, is_few, [&](const TiledArrays& few) { opt_of_few(stream, flat, few); });
  for_launches(tensors, is_many,
               [&](const TiledArrays& many) { opt_of_many(stream, flat, many, workspace); });
}

}  // namespace expunge::kernels::cuda
