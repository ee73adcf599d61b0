#pragma once

#include "kernels/gate_opt_math.h"
#include "kernels/sort.cuh"

// Only for gate_opt.cu: OPT of tensors that a block holds, and what the others share with it.
namespace expunge::kernels::cuda {
namespace {

using math::Opt, math::OptSums;
using Array = TiledArrays::Array;

constexpr unsigned kFew = 1024, kMostWarps = kFew / 32;  // elements of a block, a thread each

// Flat buffers; opt of all of them.
struct Flat {
  Opt opt;
  float* w;
  __device__ Opt of(const Array& a) const {
    return {opt.g_f + a.offset, opt.g_r + a.offset,
            opt.phi == nullptr ? nullptr : opt.phi + a.offset, opt.beta};
  }
};

__device__ OptSums sum_before(const OptSums& mine, double* of_warp) {
  return {kernels::sum_before(mine.uu, of_warp), kernels::sum_before(mine.cc, of_warp + kMostWarps),
          kernels::sum_before(mine.uc, of_warp + 2 * kMostWarps)};
}

// The whole of it for tensors of few elements, a block each: those without a conflict come last, so
// that they are in every sum of what is left.
__global__ void __launch_bounds__(kFew) few_kernel(Flat flat, TiledArrays arrays) {
  start_kernel();
  KERNEL_SHARED(uint64_t, keys, kFew);
  KERNEL_SHARED(unsigned, order, kFew);
  KERNEL_SHARED(double, of_warp, 3 * kMostWarps);
  KERNEL_SHARED(unsigned, first, 1);
  const Array& array = arrays.of[blockIdx.x];
  const Opt opt = flat.of(array);
  float* out = flat.w + array.offset;
  const unsigned i = threadIdx.x, n = array.size;
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

void opt_of_few(Stream stream, const Flat& flat, const TiledArrays& arrays) {
  unsigned most = 0;
  for (int k = 0; k < arrays.count; ++k)
    if (arrays.of[k].size > most) most = arrays.of[k].size;
  launch(few_kernel, static_cast<unsigned>(arrays.count), blocks_for(most, 32) * 32, 0, stream,
         flat, arrays);
}

}  // namespace
}  // namespace expunge::kernels::cuda
