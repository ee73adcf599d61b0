#pragma once

#include "kernels/scan.cuh"
#include "kernels/tiles.cuh"

// A stable radix sort of 64-bit keys with 32-bit indices, of several arrays side by side. It waits
// for nothing: how many elements an array has is known on the device alone. A pass counts the
// digits of each tile, finds where a tile's elements of a digit begin, and moves them there.
namespace expunge::kernels {

// Of all arrays: one begins where its first tile does.
struct Sorted {
  uint64_t* key;
  uint32_t* index;
  __device__ Sorted of(const TiledArrays::Array& a) const {
    const uint64_t first = uint64_t{a.first_tile} * TiledArrays::kTile;
    return {key + first, index + first};
  }
};

struct RadixSort {
  static constexpr unsigned kThreads = 256, kWarp = 32, kWarps = kThreads / kWarp;
  static constexpr unsigned kTile = TiledArrays::kTile, kPart = kTile / kWarps;  // of a warp
  static constexpr int kDigitBits = 8, kPasses = 64 / kDigitBits;
  static constexpr unsigned kDigits = 1u << kDigitBits;
  static constexpr uint64_t kLeftOut = ~uint64_t{0};  // a key that is not sorted
  static_assert(kDigits == kThreads, "a thread a digit");
  using Array = TiledArrays::Array;

  unsigned* counts;  // of an array (digit, tile), behind those of the arrays before
  unsigned* totals;  // (array, digit): after a pass, the elements in all
  Sorted buffer[2];  // sorted: the second one

  __device__ unsigned* counts_of(const Array& a) const {
    return counts + size_t{a.first_tile} * kDigits;
  }
  __device__ unsigned* totals_of(unsigned array) const { return totals + array * kDigits; }
};

namespace radix {

__device__ inline unsigned digit_of(uint64_t key, int pass) {
  return static_cast<unsigned>(key >> (pass * RadixSort::kDigitBits)) % RadixSort::kDigits;
}

// The part of a tile that a warp goes through, a row of lanes at a time.
struct Part {
  uint64_t begin, end;
  __device__ Part(unsigned tile, uint64_t size) {
    begin = uint64_t{tile} * RadixSort::kTile + threadIdx.x / RadixSort::kWarp * RadixSort::kPart;
    end = begin + RadixSort::kPart < size ? begin + RadixSort::kPart : size;
  }
};

// count[d] += how many of the warp's part have digit d
template <class Elements>
__device__ void count_part(const Elements& elements, unsigned tile, int pass, unsigned* count) {
  const Part part(tile, elements.size());
  for (uint64_t i = part.begin + threadIdx.x % RadixSort::kWarp; i < part.end;
       i += RadixSort::kWarp) {
    const uint64_t key = elements.key(static_cast<uint32_t>(i));
    if (key != RadixSort::kLeftOut) atomicAdd(&count[digit_of(key, pass)], 1u);
  }
}

template <class Source>
__global__ void __launch_bounds__(RadixSort::kThreads)
    count_kernel(Source source, int pass, TiledArrays arrays, RadixSort sort) {
  start_kernel();
  KERNEL_SHARED(unsigned, count, RadixSort::kDigits);
  const Tile tile(arrays, blockIdx.x);
  const TiledArrays::Array& array = arrays.of[tile.array];
  count[threadIdx.x] = 0;
  __syncthreads();
  count_part(source.of(tile.array, array), tile.number, pass, count);
  __syncthreads();
  sort.counts_of(array)[threadIdx.x * array.tiles() + tile.number] = count[threadIdx.x];
}

// Block (d, array): counts[d][tile] becomes how many in the tiles before have digit d.
static __global__ void __launch_bounds__(RadixSort::kThreads)
    places_kernel(TiledArrays arrays, RadixSort sort) {
  start_kernel();
  KERNEL_SHARED(unsigned, of_warp, RadixSort::kWarps);
  const TiledArrays::Array& array = arrays.of[blockIdx.y];
  const unsigned tiles = array.tiles();
  unsigned* counts = sort.counts_of(array) + size_t{blockIdx.x} * tiles;
  const unsigned own = (tiles + blockDim.x - 1) / blockDim.x, begin = threadIdx.x * own,
                 end = begin + own < tiles ? begin + own : tiles;
  unsigned mine = 0;
  for (unsigned tile = begin; tile < end; ++tile) mine += counts[tile];
  unsigned place = sum_before(mine, of_warp);
  if (threadIdx.x == blockDim.x - 1) sort.totals_of(blockIdx.y)[blockIdx.x] = place + mine;
  for (unsigned tile = begin; tile < end; ++tile) {
    const unsigned count = counts[tile];
    counts[tile] = place;
    place += count;
  }
}

// A row of lanes to their places, equal digits in the order of lanes. place: of the warp's next
// element of a digit.
__device__ inline void move_row(uint64_t key, uint32_t index, int pass, unsigned* place,
                                const Sorted& to) {
  constexpr unsigned kAll = 0xffffffffu;
  const unsigned lane = threadIdx.x % RadixSort::kWarp, digit = digit_of(key, pass);
  const bool sorted = key != RadixSort::kLeftOut;
  unsigned same = __ballot_sync(kAll, sorted);
  for (int bit = 0; bit < RadixSort::kDigitBits; ++bit) {
    const bool set = (digit >> bit & 1) != 0;
    const unsigned others = __ballot_sync(kAll, set);
    same &= set ? others : ~others;
  }
  const auto before = static_cast<unsigned>(__popc(same & ((1u << lane) - 1)));
  const unsigned at = place[digit] + before;
  __syncwarp();
  if (sorted) {
    to.key[at] = key, to.index[at] = index;
    if (before == 0) place[digit] += static_cast<unsigned>(__popc(same));
  }
  __syncwarp();
}

template <class Source>
__global__ void __launch_bounds__(RadixSort::kThreads)
    move_kernel(Source source, int pass, TiledArrays arrays, RadixSort sort, Sorted to) {
  start_kernel();
  constexpr unsigned kDigits = RadixSort::kDigits, kWarps = RadixSort::kWarps;
  KERNEL_SHARED(unsigned, place, RadixSort::kWarps* RadixSort::kDigits);  // (warp, digit)
  KERNEL_SHARED(unsigned, of_warp, RadixSort::kWarps);
  const Tile tile(arrays, blockIdx.x);
  const TiledArrays::Array& array = arrays.of[tile.array];
  const auto elements = source.of(tile.array, array);
  if (uint64_t{tile.number} * RadixSort::kTile >= elements.size()) return;
  for (unsigned k = 0; k < kWarps; ++k) place[k * kDigits + threadIdx.x] = 0;
  __syncthreads();
  unsigned* mine = place + threadIdx.x / RadixSort::kWarp * kDigits;
  count_part(elements, tile.number, pass, mine);
  unsigned next =
      sort.counts_of(array)[threadIdx.x * array.tiles() + tile.number] +
      sum_before(sort.totals_of(tile.array)[threadIdx.x], of_warp);  // whose barrier ends the count
  for (unsigned k = 0; k < kWarps; ++k) {
    const unsigned count = place[k * kDigits + threadIdx.x];
    place[k * kDigits + threadIdx.x] = next;
    next += count;
  }
  __syncthreads();
  const Sorted own = to.of(array);
  const Part part(tile.number, elements.size());
  for (uint64_t row = part.begin; row < part.end; row += RadixSort::kWarp) {
    const uint64_t i = row + threadIdx.x % RadixSort::kWarp;
    const auto at = static_cast<uint32_t>(i);
    const bool inside = i < part.end;
    move_row(inside ? elements.key(at) : RadixSort::kLeftOut, inside ? elements.index(at) : 0, pass,
             mine, own);
  }
}

}  // namespace radix

// One pass over all arrays, into buffer[pass % 2]. Source: a struct of device pointers and numbers;
// source.of(number of an array, the array) has
//   uint32_t size() const, uint64_t key(uint32_t i) const, uint32_t index(uint32_t i) const
template <class Source>
void sort_pass(const StreamAt& stream, const Source& source, int pass, const TiledArrays& arrays,
               const RadixSort& sort) {
  const dim3 every(RadixSort::kDigits, static_cast<unsigned>(arrays.count));
  launch(radix::count_kernel<Source>, arrays.tiles, RadixSort::kThreads, 0, stream, source, pass,
         arrays, sort);
  unsigned most = 0;
  for (int k = 0; k < arrays.count; ++k)
    if (arrays.of[k].tiles() > most) most = arrays.of[k].tiles();
  const unsigned warps = blocks_for(most, RadixSort::kWarp);
  launch(radix::places_kernel, every,
         RadixSort::kWarp * (warps < RadixSort::kWarps ? warps : RadixSort::kWarps), 0, stream,
         arrays, sort);
  launch(radix::move_kernel<Source>, arrays.tiles, RadixSort::kThreads, 0, stream, source, pass,
         arrays, sort, sort.buffer[pass % 2]);
}

}  // namespace expunge::kernels
