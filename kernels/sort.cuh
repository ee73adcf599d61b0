#pragma once

#include "kernels/launch.h"

// A stable radix sort of 64-bit keys with 32-bit indices, which waits for nothing: how many there
// are is known on the device alone. A pass counts the digits of each tile, finds where a tile's
// elements of a digit begin, and moves them there.
namespace expunge::kernels {

struct Sorted {
  uint64_t* key;
  uint32_t* index;
};

struct RadixSort {
  static constexpr unsigned kThreads = 256, kWarp = 32, kWarps = kThreads / kWarp;
  static constexpr unsigned kTile = 4096, kPart = kTile / kWarps;  // elements of a block, of a warp
  static constexpr int kDigitBits = 8, kPasses = 64 / kDigitBits;
  static constexpr unsigned kDigits = 1u << kDigitBits;
  static constexpr uint64_t kLeftOut = ~uint64_t{0};  // a key that is not sorted
  static_assert(kDigits == kThreads, "a thread a digit");

  unsigned blocks;
  unsigned* counts;  // (digit, block)
  unsigned* totals;  // of a digit: after a pass, the elements in all
  Sorted buffer[2];  // sorted: in the second one

  static unsigned blocks_of(int64_t n) { return blocks_for(n, kTile); }
};

// The sum of what threads before this one have, in their order. of_warp: shared, a number a warp,
// which nothing else uses.
template <class T>
__device__ T sum_before(T mine, T* of_warp) {
  constexpr unsigned kAll = 0xffffffffu, kLanes = RadixSort::kWarp;
  const unsigned lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  T sum = mine;
  for (unsigned by = 1; by < kLanes; by *= 2) {
    const T other = __shfl_up_sync(kAll, sum, by);
    if (lane >= by) sum = other + sum;
  }
  if (lane == kLanes - 1) of_warp[warp] = sum;
  const T before = __shfl_up_sync(kAll, sum, 1);
  __syncthreads();
  T base = 0;
  for (unsigned k = 0; k < warp; ++k) base += of_warp[k];
  return lane == 0 ? base : base + before;
}

namespace radix {

__device__ inline unsigned digit_of(uint64_t key, int pass) {
  return static_cast<unsigned>(key >> (pass * RadixSort::kDigitBits)) % RadixSort::kDigits;
}

// The part of its block's tile that a warp goes through, a row of lanes at a time.
struct Part {
  uint64_t begin, end;
  __device__ explicit Part(uint64_t size) {
    begin =
        uint64_t{blockIdx.x} * RadixSort::kTile + threadIdx.x / RadixSort::kWarp * RadixSort::kPart;
    end = begin + RadixSort::kPart < size ? begin + RadixSort::kPart : size;
  }
};

// count[d] += how many of the warp's part have digit d
template <class Elements>
__device__ void count_part(const Elements& elements, int pass, unsigned* count) {
  const Part part(elements.size());
  for (uint64_t i = part.begin + threadIdx.x % RadixSort::kWarp; i < part.end;
       i += RadixSort::kWarp) {
    const uint64_t key = elements.key(static_cast<uint32_t>(i));
    if (key != RadixSort::kLeftOut) atomicAdd(&count[digit_of(key, pass)], 1u);
  }
}

template <class Elements>
__global__ void __launch_bounds__(RadixSort::kThreads)
    count_kernel(Elements elements, int pass, RadixSort sort) {
  KERNEL_SHARED(unsigned, count, RadixSort::kDigits);
  count[threadIdx.x] = 0;
  __syncthreads();
  count_part(elements, pass, count);
  __syncthreads();
  sort.counts[threadIdx.x * sort.blocks + blockIdx.x] = count[threadIdx.x];
}

// Block d: counts[d][block] becomes how many in the blocks before have digit d.
static __global__ void __launch_bounds__(RadixSort::kThreads) places_kernel(RadixSort sort) {
  KERNEL_SHARED(unsigned, of_warp, RadixSort::kWarps);
  unsigned* counts = sort.counts + size_t{blockIdx.x} * sort.blocks;
  const unsigned own = (sort.blocks + blockDim.x - 1) / blockDim.x, begin = threadIdx.x * own,
                 end = begin + own < sort.blocks ? begin + own : sort.blocks;
  unsigned mine = 0;
  for (unsigned block = begin; block < end; ++block) mine += counts[block];
  unsigned place = sum_before(mine, of_warp);
  if (threadIdx.x == blockDim.x - 1) sort.totals[blockIdx.x] = place + mine;
  for (unsigned block = begin; block < end; ++block) {
    const unsigned count = counts[block];
    counts[block] = place;
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

template <class Elements>
__global__ void __launch_bounds__(RadixSort::kThreads)
    move_kernel(Elements elements, int pass, RadixSort sort, Sorted to) {
  constexpr unsigned kDigits = RadixSort::kDigits, kWarps = RadixSort::kWarps;
  KERNEL_SHARED(unsigned, place, RadixSort::kWarps* RadixSort::kDigits);  // (warp, digit)
  KERNEL_SHARED(unsigned, of_warp, RadixSort::kWarps);
  for (unsigned k = 0; k < kWarps; ++k) place[k * kDigits + threadIdx.x] = 0;
  __syncthreads();
  unsigned* mine = place + threadIdx.x / RadixSort::kWarp * kDigits;
  count_part(elements, pass, mine);
  unsigned next = sort.counts[threadIdx.x * sort.blocks + blockIdx.x] +
                  sum_before(sort.totals[threadIdx.x], of_warp);  // whose barrier ends the count
  for (unsigned k = 0; k < kWarps; ++k) {
    const unsigned count = place[k * kDigits + threadIdx.x];
    place[k * kDigits + threadIdx.x] = next;
    next += count;
  }
  __syncthreads();
  const Part part(elements.size());
  for (uint64_t row = part.begin; row < part.end; row += RadixSort::kWarp) {
    const uint64_t i = row + threadIdx.x % RadixSort::kWarp;
    const auto at = static_cast<uint32_t>(i);
    const bool inside = i < part.end;
    move_row(inside ? elements.key(at) : RadixSort::kLeftOut, inside ? elements.index(at) : 0, pass,
             mine, to);
  }
}

}  // namespace radix

// One pass, into buffer[pass % 2]. Elements: a struct of device pointers and numbers with
//   uint32_t size() const, uint64_t key(uint32_t i) const, uint32_t index(uint32_t i) const
template <class Elements>
void sort_pass(const StreamAt& stream, const Elements& elements, int pass, const RadixSort& sort) {
  launch(radix::count_kernel<Elements>, sort.blocks, RadixSort::kThreads, 0, stream, elements, pass,
         sort);
  const unsigned warps = blocks_for(sort.blocks, RadixSort::kWarp);
  launch(radix::places_kernel, RadixSort::kDigits,
         RadixSort::kWarp * (warps < RadixSort::kWarps ? warps : RadixSort::kWarps), 0, stream,
         sort);
  launch(radix::move_kernel<Elements>, sort.blocks, RadixSort::kThreads, 0, stream, elements, pass,
         sort, sort.buffer[pass % 2]);
}

}  // namespace expunge::kernels
