#include "kernels/gate_select.cuh"
#include "kernels/gate_tensors.cuh"

// The quantile of |s| in each of several tensors, and who reaches it: tiles of all of them in the
// same launches.
namespace expunge::kernels::cuda {
namespace {

constexpr unsigned kThreads = Select::kThreads, kTile = TiledArrays::kTile, kNone = 0xffffffffu;

struct Quantiles {
  struct State : Selection {  // of a tensor
    double share;             // of the way from the value that is found to the next
    uint32_t next;            // the smallest larger element
  };
  double q;
  Quantile how;
  const float* s;
  State* state;
  unsigned* counts;  // (tensor, Select::kCounts)

  __device__ unsigned* counts_of(unsigned array) const {
    return counts + size_t{array} * Select::kCounts;
  }
  // body(|s|, its place) for the elements of this thread in its block's tile; some are read before
  // any is worked on
  template <class Body>
  __device__ void for_tile(const TiledArrays& arrays, const Tile& tile, const Body& body) const {
    constexpr unsigned kRows = 4;
    const TiledArrays::Array& array = arrays.of[tile.array];
    const unsigned begin = tile.number * kTile + threadIdx.x;
#pragma unroll 1
    for (unsigned k = 0; k < kTile; k += kRows * kThreads) {
      float size[kRows];
#pragma unroll
      for (unsigned j = 0; j < kRows; ++j) {
        const unsigned i = begin + k + j * kThreads;
        size[j] = i < array.size ? fabsf(s[array.offset + i]) : 0;
      }
#pragma unroll
      for (unsigned j = 0; j < kRows; ++j) {
        const unsigned i = begin + k + j * kThreads;
        if (i < array.size) body(size[j], array.offset + i);
      }
    }
  }
};

__global__ void __launch_bounds__(kThreads) begin_kernel(Quantiles of, TiledArrays arrays) {
  start_kernel();
  unsigned* counts = of.counts_of(blockIdx.x);
  for (unsigned i = threadIdx.x; i < Select::kCounts; i += kThreads) counts[i] = 0;
  if (threadIdx.x > 0) return;
  const math::QuantilePlace place = math::quantile_place(of.q, arrays.of[blockIdx.x].size);
  const double share = place.part == 0 ? 0 : of.how == Quantile::midpoint ? 0.5 : place.part;
  of.state[blockIdx.x] = {{place.low}, share, kNone};
}

__global__ void __launch_bounds__(kThreads)
    count_kernel(Quantiles of, TiledArrays arrays, math::Digit digit) {
  start_kernel();
  KERNEL_SHARED(unsigned, of_block, Select::kCounts);
  const Tile tile(arrays, blockIdx.x);
  const auto keys = [&](const auto& count) {
    of.for_tile(arrays, tile, [&](float size, int64_t) { count(math::order_bits(size)); });
  };
  Select::count(of.state[tile.array], digit, keys, of_block, of.counts_of(tile.array));
}

__global__ void __launch_bounds__(kThreads) pick_kernel(Quantiles of, math::Digit digit) {
  start_kernel();
  KERNEL_SHARED(int64_t, of_warp, Select::kWarps);
  Select::pick(of.state[blockIdx.x], digit, of_warp, of.counts_of(blockIdx.x));
}

// The smallest element above the one that was found: of a tile, then of all.
__global__ void __launch_bounds__(kThreads) next_kernel(Quantiles of, TiledArrays arrays) {
  start_kernel();
  KERNEL_SHARED(uint32_t, least, 1);
  const Tile tile(arrays, blockIdx.x);
  Quantiles::State& state = of.state[tile.array];
  if (threadIdx.x == 0) least[0] = kNone;
  __syncthreads();
  const uint32_t found = state.found;
  uint32_t mine = kNone;
  of.for_tile(arrays, tile, [&](float size, int64_t) {
    const uint32_t bits = math::order_bits(size);
    if (bits > found && bits < mine) mine = bits;
  });
  if (mine < kNone) atomicMin(&least[0], mine);
  __syncthreads();
  if (threadIdx.x == 0 && least[0] < kNone) atomicMin(&state.next, least[0]);
}

__global__ void __launch_bounds__(kThreads)
    write_kernel(Quantiles of, TiledArrays arrays, float* w) {
  start_kernel();
  const Tile tile(arrays, blockIdx.x);
  const Quantiles::State& state = of.state[tile.array];
  const double below = double{math::from_order_bits(state.found)};
  const bool same = state.rank + 1 < state.equal || state.next == kNone;
  const double above = same ? below : double{math::from_order_bits(state.next)};
  const double least = below + state.share * (above - below);
  of.for_tile(arrays, tile,
              [&](float size, int64_t i) { w[i] = double{size} >= least ? 1.0f : 0.0f; });
}

}  // namespace

size_t gate_saliency_workspace() {
  return TiledArrays::kMost * (sizeof(Quantiles::State) + Select::kCounts * sizeof(unsigned));
}

void gate_saliency(Stream stream, std::span<const GateTensor> tensors, const float* s, double q,
                   Quantile how, float* w, void* workspace) {
  const StreamAt at = stream;
  auto* state = static_cast<Quantiles::State*>(workspace);
  const Quantiles of{q, how, s, state, reinterpret_cast<unsigned*>(state + TiledArrays::kMost)};
  const auto all = [](int64_t) { return true; };
  for_launches(tensors, all, [&](const TiledArrays& arrays) {
    const auto count = static_cast<unsigned>(arrays.count);
    launch(begin_kernel, count, kThreads, 0, at, of, arrays);
    for (const math::Digit digit : math::kDigits) {
      launch(count_kernel, arrays.tiles, kThreads, 0, at, of, arrays, digit);
      launch(pick_kernel, count, kThreads, 0, at, of, digit);
    }
    launch(next_kernel, arrays.tiles, kThreads, 0, at, of, arrays);
    launch(write_kernel, arrays.tiles, kThreads, 0, at, of, arrays, w);
  });
}

}  // namespace expunge::kernels::cuda
