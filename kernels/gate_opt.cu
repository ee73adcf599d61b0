#include "kernels/columns.cuh"
#include "kernels/each.cuh"
#include "kernels/gate_opt_math.h"
#include "kernels/gates.h"
#include "kernels/sort.cuh"

// OPT: negative products in order; sums over what is left behind each prefix, from the other end;
// the first of them that is feasible. All in a fixed order, and nothing waits for the host.
namespace expunge::kernels::cuda {
namespace {

using math::Opt, math::OptSums;

constexpr unsigned kThreads = RadixSort::kThreads, kTile = RadixSort::kTile;
constexpr unsigned kOwn = kTile / kThreads;              // elements of a thread
constexpr unsigned kFew = 1024, kMostWarps = kFew / 32;  // in one block, a thread each
constexpr uint32_t kUnknown = 0xffffffffu;

struct State {
  OptSums kept;        // of products >= 0
  uint32_t conflicts;  // negative products; 0 where none need be dropped
  uint32_t first;      // how many of them are dropped
};

struct Workspace {
  State* state;
  OptSums* tiles;  // of each tile of sorted elements; then of what is behind it
  RadixSort sort;
  void* columns;  // of reduce_columns
};

__device__ OptSums sum_before(const OptSums& mine, double* of_warp) {
  return {kernels::sum_before(mine.uu, of_warp), kernels::sum_before(mine.cc, of_warp + kMostWarps),
          kernels::sum_before(mine.uc, of_warp + 2 * kMostWarps)};
}

// Sums of products >= 0, and of all: where these are feasible there is nothing to sort.
struct Begin {
  using State = Partial<6>;
  static constexpr int kVector = 1;
  Opt opt;
  cuda::State* state;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t, State (&sums)[V]) const {
    for (int64_t i = begin; i < end; i += step) {
      const OptSums element = math::opt_sums(opt, i);
      const double keep = element.uc < 0 ? 0 : 1;
      add(sums[0], State{{keep * element.uu, keep * element.cc, keep * element.uc, element.uu,
                          element.cc, element.uc}});
    }
  }
  __device__ static void merge(State& into, const State& other) { add(into, other); }
  __device__ void finish(int64_t, const State& sums) const {
    const auto& v = sums.v;
    const bool feasible = math::opt_feasible(opt, {v[3], v[4], v[5]});
    *state = {{v[0], v[1], v[2]}, feasible ? 0 : kUnknown, 0};
  }
};

// What the first pass sorts, and what the others do.
struct Conflicts {
  Opt opt;
  int64_t n;
  const State* state;
  __device__ uint32_t size() const { return state->conflicts == 0 ? 0 : static_cast<uint32_t>(n); }
  __device__ uint64_t key(uint32_t i) const { return math::conflict_key(math::opt_sums(opt, i)); }
  __device__ uint32_t index(uint32_t i) const { return i; }
};
struct Moved {
  Sorted from;
  const State* state;
  __device__ uint32_t size() const { return state->conflicts; }
  __device__ uint64_t key(uint32_t i) const { return from.key[i]; }
  __device__ uint32_t index(uint32_t i) const { return from.index[i]; }
};

// After the first pass: how many there are. To drop them all would do.
__global__ void __launch_bounds__(kThreads) conflicts_kernel(Workspace w) {
  KERNEL_SHARED(unsigned, of_warp, RadixSort::kWarps);
  const unsigned mine = w.sort.totals[threadIdx.x], before = kernels::sum_before(mine, of_warp);
  if (threadIdx.x == kThreads - 1) w.state->conflicts = w.state->first = before + mine;
}

// Threads take the elements of a tile from its end, so that what is left behind a prefix is a sum
// of threads before.
struct Own {
  uint64_t begin, end;
  __device__ explicit Own(uint64_t size) {
    begin = uint64_t{blockIdx.x} * kTile + (kThreads - 1 - threadIdx.x) * kOwn;
    end = begin + kOwn < size ? begin + kOwn : size;
  }
};
__device__ OptSums own_sums(const Opt& opt, const Workspace& w) {
  OptSums mine;
  const Own own(w.state->conflicts);
  for (uint64_t k = own.end; k-- > own.begin;)
    math::add(mine, math::opt_sums(opt, w.sort.buffer[1].index[k]));
  return mine;
}

__global__ void __launch_bounds__(kThreads) tiles_kernel(Opt opt, Workspace w) {
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const OptSums mine = own_sums(opt, w);
  OptSums sums = sum_before(mine, of_warp);
  math::add(sums, mine);
  if (threadIdx.x == kThreads - 1) w.tiles[blockIdx.x] = sums;
}

// tiles[k] becomes what is behind tile k: the tiles after it, and what is kept.
__global__ void __launch_bounds__(kThreads) behind_kernel(Workspace w) {
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const unsigned tiles = w.sort.blocks, own = (tiles + kThreads - 1) / kThreads,
                 begin = (kThreads - 1 - threadIdx.x) * own,
                 end = begin + own < tiles ? begin + own : tiles;
  OptSums mine;
  for (unsigned k = end; k > begin; --k) math::add(mine, w.tiles[k - 1]);
  OptSums behind = w.state->kept;
  math::add(behind, sum_before(mine, of_warp));
  for (unsigned k = end; k > begin; --k) {
    const OptSums tile = w.tiles[k - 1];
    w.tiles[k - 1] = behind;
    math::add(behind, tile);
  }
}

__global__ void __launch_bounds__(kThreads) first_kernel(Opt opt, Workspace w) {
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  const uint32_t conflicts = w.state->conflicts;
  OptSums left = w.tiles[blockIdx.x];
  math::add(left, sum_before(own_sums(opt, w), of_warp));
  uint64_t first = conflicts;
  const Own own(conflicts);
  for (uint64_t k = own.end; k-- > own.begin;) {
    math::add(left, math::opt_sums(opt, w.sort.buffer[1].index[k]));
    if (math::opt_feasible(opt, left)) first = k;
  }
  if (first < conflicts) atomicMin(&w.state->first, static_cast<uint32_t>(first));
}

struct Write {
  Opt opt;
  Workspace w;
  float* out;
  __device__ bool dropped(int64_t i) const {
    const State state = *w.state;
    const uint64_t key = math::conflict_key(math::opt_sums(opt, i));
    if (key == math::kNoConflict || state.first == 0) return false;
    if (state.first == state.conflicts) return true;
    const Sorted sorted = w.sort.buffer[1];
    const uint64_t least = sorted.key[state.first];
    return key < least || (key == least && i < sorted.index[state.first]);
  }
  __device__ void operator()(int64_t i) const {
    out[i] = dropped(i) ? 0.0f : static_cast<float>(math::opt_weight(opt, i));
  }
};

// The whole of it for few elements: those without a conflict come last, so that they are in every
// sum of what is left.
__global__ void __launch_bounds__(kFew) few_kernel(unsigned n, Opt opt, float* out) {
  KERNEL_SHARED(uint64_t, keys, kFew);
  KERNEL_SHARED(unsigned, order, kFew);
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  KERNEL_SHARED(unsigned, first, 1);
  const unsigned i = threadIdx.x;
  if (i == 0) first[0] = kFew;
  const uint64_t mine = i < n ? math::conflict_key(math::opt_sums(opt, i)) : math::kNoConflict;
  keys[i] = mine;
  __syncthreads();
  unsigned place = 0;
  for (unsigned k = 0; k < n; ++k) place += keys[k] < mine || (keys[k] == mine && k < i);
  if (i < n) order[place] = i;
  __syncthreads();
  const unsigned k = blockDim.x - 1 - i;  // from the end
  const OptSums element = k < n ? math::opt_sums(opt, order[k]) : OptSums{};
  OptSums left = sum_before(element, of_warp);
  math::add(left, element);
  if (k < n && math::opt_feasible(opt, left)) atomicMin(&first[0], k);
  __syncthreads();
  if (k >= n) return;
  const bool dropped = k < first[0] && keys[order[k]] != math::kNoConflict;
  out[order[k]] = dropped ? 0.0f : static_cast<float>(math::opt_weight(opt, order[k]));
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

Workspace places(int64_t n, Places& memory) {
  const unsigned blocks = RadixSort::blocks_of(n);
  const auto size = static_cast<size_t>(n);
  Workspace w{};
  w.state = memory.of<State>(1);
  w.tiles = memory.of<OptSums>(blocks);
  w.sort.blocks = blocks;
  w.sort.counts = memory.of<unsigned>(size_t{RadixSort::kDigits} * blocks);
  w.sort.totals = memory.of<unsigned>(RadixSort::kDigits);
  for (Sorted& buffer : w.sort.buffer)
    buffer = {memory.of<uint64_t>(size), memory.of<uint32_t>(size)};
  w.columns = memory.of<unsigned char>(columns_workspace<Begin>(ColumnGrid(n, 1)));
  return w;
}

}  // namespace

size_t gate_opt_workspace(int64_t n) {
  if (n <= int64_t{kFew}) return 0;
  Places memory{nullptr};
  places(n, memory);
  return memory.bytes;
}

void gate_opt(Stream stream, int64_t n, const float* g_f, const float* g_r, const float* phi,
              double beta, float* w, void* workspace) {
  if (n == 0) return;
  const Opt opt{g_f, g_r, phi, beta};
  if (n <= int64_t{kFew}) {
    const unsigned threads = blocks_for(n, 32) * 32;
    launch(few_kernel, 1, threads, 0, stream, static_cast<unsigned>(n), opt, w);
    return;
  }
  Places memory{static_cast<unsigned char*>(workspace)};
  const Workspace of = places(n, memory);
  const unsigned tiles = of.sort.blocks;
  reduce_columns(stream, ColumnGrid(n, 1), Begin{opt, of.state}, of.columns);
  sort_pass(stream, Conflicts{opt, n, of.state}, 0, of.sort);
  launch(conflicts_kernel, 1, kThreads, 0, stream, of);
  for (int pass = 1; pass < RadixSort::kPasses; ++pass)
    sort_pass(stream, Moved{of.sort.buffer[(pass - 1) % 2], of.state}, pass, of.sort);
  launch(tiles_kernel, tiles, kThreads, 0, stream, opt, of);
  launch(behind_kernel, 1, kThreads, 0, stream, of);
  launch(first_kernel, tiles, kThreads, 0, stream, opt, of);
  each(stream, n, Write{opt, of, w});
}

}  // namespace expunge::kernels::cuda
