#include "cuda_on_cpu/checks/right.h"
#include "kernels/async_copy.cuh"
#include "kernels/launch.h"
#include "kernels/mma.cuh"

namespace expunge::test {
namespace {

using kernels::launch;

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
  return v;
}

// The sum over the block, for every thread of it. All three barriers are needed: the tests leave
// each of them out.
template <int kThreads>
__device__ float block_sum(float v) {
  KERNEL_SHARED(float, part, kThreads / 32);
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();  // first
  v = threadIdx.x < kThreads / 32 ? part[threadIdx.x] : 0.0f;
  if (threadIdx.x < 32) v = warp_sum(v);
  if (threadIdx.x == 0) part[0] = v;
  __syncthreads();  // second
  v = part[0];
  __syncthreads();  // third: part is filled again by the next call
  return v;
}

__global__ void __launch_bounds__(kSumThreads)
    block_sums_kernel(const float* x, float* out) {
  start_kernel();
  const unsigned i = blockIdx.x * kSumThreads + threadIdx.x;
  const float once = block_sum<kSumThreads>(x[i]);
  out[i] = once + block_sum<kSumThreads>(x[i]);
}

__global__ void softmax_rows_kernel(int rows, int columns, const float* x,
                                    float* y) {
  start_kernel();
  KERNEL_DYN_SHARED(float, rows_of_block);  // (warps, columns)
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int row = static_cast<int>(blockIdx.x * (blockDim.x / 32)) + warp;
  if (row >= rows) return;  // whole warps
  float* e = rows_of_block + warp * columns;
  float sum = 0;
  for (int c = lane; c < columns; c += 32) sum += e[c] = expf(x[row * columns + c]);
  __syncwarp();  // e[c] below is another lane's
  for (int c = lane; c < columns; c += 32) y[row * columns + c] = e[columns - 1 - c];
  sum = warp_sum(sum);
  for (int c = lane; c < columns; c += 32) y[row * columns + c] /= sum;
}

__global__ void shuffles_kernel(int width, int* out) {
  start_kernel();
  const int i = static_cast<int>(threadIdx.x);
  out[4 * i] = __shfl_sync(0xffffffffu, i, 3, width);
  out[4 * i + 1] = __shfl_xor_sync(0xffffffffu, i, 5, width);
  out[4 * i + 2] = __shfl_down_sync(0xffffffffu, i, 2, width);
  out[4 * i + 3] = __shfl_up_sync(0xffffffffu, i, 3, width);
}

__global__ void half_warps_kernel(double* out) {
  start_kernel();
  const unsigned i = threadIdx.x;
  double v = i;
  if (i < 16) {
    v += __shfl_xor_sync(0x0000ffffu, v, 1);
    v += __shfl_xor_sync(0x0000ffffu, v, 2);
    v += __shfl_xor_sync(0x0000ffffu, v, 4);
  } else {
    v *= 2;
  }
  out[i] = __shfl_sync(0xffffffffu, v, 31 - static_cast<int>(i));
}

__global__ void votes_kernel(uint32_t* out) {
  start_kernel();
  const bool mine = threadIdx.x % 3 == 0;
  const uint32_t votes = __ballot_sync(0xffffffffu, mine);
  const int any = __any_sync(0xffffffffu, mine), all = __all_sync(0xffffffffu, mine);
  if (threadIdx.x == 0) out[0] = votes, out[1] = any != 0, out[2] = all != 0;
}

template <class T>
__global__ void matrix_product_kernel(const uint32_t* a, const uint32_t* b, float* d) {
  start_kernel();
  const unsigned lane = threadIdx.x;
  uint32_t of_a[4], of_b[2];
  float of_d[4];
  for (int i = 0; i < 4; ++i) of_a[i] = a[4 * lane + i], of_d[i] = d[4 * lane + i];
  for (int i = 0; i < 2; ++i) of_b[i] = b[2 * lane + i];
  mma_16x8<T>(of_d, of_a, of_b);
  for (int i = 0; i < 4; ++i) d[4 * lane + i] = of_d[i];
}

__global__ void copied_ahead_kernel(const float* x, float* y) {
  start_kernel();
  constexpr unsigned kRound = 4 * 32;
  KERNEL_DYN_SHARED(float, s);  // two rounds
  const unsigned i = threadIdx.x;
  copy_16_async(s + 4 * i, x + 4 * i, true);
  commit_copies();
  for (unsigned round = 0; round < 4; ++round) {
    if (round < 3)
      copy_16_async(s + (round + 1) % 2 * kRound + 4 * i, x + (round + 1) * kRound + 4 * i,
                    round == 0);
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    y[32 * round + i] = s[round % 2 * kRound + 4 * (31 - i)];
    __syncthreads();
  }
}

__global__ void transposed_matrices_kernel(const uint16_t* rows, uint32_t* d) {
  start_kernel();
  KERNEL_DYN_SHARED(uint16_t, s);
  for (unsigned i = threadIdx.x; i < 256; i += 32) s[i] = rows[i];
  __syncwarp();
  uint32_t of[4];
  load_transposed(of, s + 8 * threadIdx.x);
  for (int i = 0; i < 4; ++i) d[4 * threadIdx.x + i] = of[i];
}

__global__ void count_remainders_kernel(int n, const int* x, int* counts,
                                        int* totals) {
  start_kernel();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  atomicAdd(&counts[x[i] % 10], 1);
  atomicAdd(&totals[0], x[i]);
  atomicMax(&totals[1], x[i]);
  atomicOr(&totals[2], x[i]);
}

__global__ void places_kernel(uint64_t* out) {
  start_kernel();
  const uint64_t block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const uint64_t thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] =
      ((((blockIdx.x * 10u + blockIdx.y) * 10u + blockIdx.z) * 10u + threadIdx.x) * 10u +
       threadIdx.y) *
          10u +
      threadIdx.z;
}

__global__ void twice_and_one_kernel(int n, float* x) {
  start_kernel();
  const int threads = static_cast<int>(gridDim.x * blockDim.x),
            i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  for (n -= i, x += i; n > 0; n -= threads, x += threads) *x = 2 * *x + 1;
}

__global__ void turns_kernel(int times, int* out) {
  start_kernel();
  KERNEL_SHARED(int, place, 1024);
  const unsigned i = threadIdx.x;
  int value = static_cast<int>(i);
  for (int t = 0; t < times; ++t) {
    place[i] = value;
    __syncthreads();
    value = place[(i + 1023) % 1024];
    __syncthreads();
  }
  out[blockIdx.x * 1024 + i] = value;
}

// So errors must name the caller.
void launch_rows(const kernels::StreamAt& stream, int rows, int columns, const float* x, float* y) {
  launch(softmax_rows_kernel, kernels::blocks_for(rows, 4), 128,
         4 * sizeof(float) * static_cast<size_t>(columns), stream, rows, columns, x, y);
}

}  // namespace

void block_sums(Stream stream, int blocks, const float* x, float* out) {
  launch(block_sums_kernel, static_cast<unsigned>(blocks), kSumThreads, 0, stream, x, out);
}

void softmax_rows(Stream stream, int rows, int columns, const float* x, float* y) {
  launch_rows(stream, rows, columns, x, y);
}

void shuffles(Stream stream, int width, int* out) {
  launch(shuffles_kernel, 1, 32, 0, stream, width, out);
}

void matrix_product(Stream stream, bool tf32, const uint32_t* a, const uint32_t* b, float* d) {
  launch(tf32 ? matrix_product_kernel<float> : matrix_product_kernel<bf16>, 1, 32, 0, stream, a, b,
         d);
}

void copied_ahead(Stream stream, const float* x, float* y) {
  launch(copied_ahead_kernel, 1, 32, 1024, stream, x, y);
}

void transposed_matrices(Stream stream, const uint16_t* rows, uint32_t* d) {
  launch(transposed_matrices_kernel, 1, 32, 512, stream, rows, d);
}

void half_warps(Stream stream, double* out) {
  launch(half_warps_kernel, 1, 32, 0, stream, out);
}

void votes(Stream stream, uint32_t* out) {
  launch(votes_kernel, 1, 32, 0, stream, out);
}

void count_remainders(Stream stream, int n, const int* x, int* counts, int* totals) {
  launch(count_remainders_kernel, kernels::blocks_for(n, 64), 64, 0, stream, n, x, counts, totals);
}

void places(Stream stream, uint64_t* out) {
  launch(places_kernel, dim3(3, 2, 2), dim3(8, 2, 2), 0, stream, out);
}

void twice_and_one(Stream stream, int n, float* x, int launches) {
  for (int l = 0; l < launches; ++l) launch(twice_and_one_kernel, 3, 64, 0, stream, n, x);
}

void turns(Stream stream, int blocks, int times, int* out) {
  launch(turns_kernel, static_cast<unsigned>(blocks), 1024, 0, stream, times, out);
}

}  // namespace expunge::test
