// Barriers and operations of warps that are missing, or not reached by all.
#include "cuda/device_array.h"
#include "cuda_on_cpu/checks/faults.h"
#include "kernels/async_copy.cuh"
#include "kernels/mma.cuh"

namespace expunge::test {
namespace {

using kernels::launch;
constexpr Stream kStream{.device = Device::cuda};
constexpr int kThreads = 128;

std::vector<float> one_to(int n) {
  std::vector<float> x;
  for (int i = 1; i <= n; ++i) x.push_back(static_cast<float>(i));
  return x;
}

__global__ void reverse_kernel(const float* x, float* y) {
  KERNEL_SHARED(float, s, kThreads);
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[kThreads - 1 - threadIdx.x];  // no barrier before
}
bool no_barrier_between_write_and_read() {
  const DeviceArray<float> x(one_to(kThreads)), y(kThreads);
  launch(reverse_kernel, 1, kThreads, 0, kStream, x.data(), y.data());
  const auto got = y.values();
  for (int i = 0; i < kThreads; ++i)
    if (got[static_cast<size_t>(i)] != static_cast<float>(kThreads - i)) return false;
  return true;
}

__global__ void lockstep_kernel(const float* x, float* sum) {
  KERNEL_SHARED(float, s, kThreads);
  const int t = static_cast<int>(threadIdx.x);
  s[t] = x[t];
  __syncthreads();
  for (int reach = kThreads / 2; reach > 0; reach /= 2) {
    if (t < reach) s[t] += s[t + reach];
    if (reach > 32) __syncthreads();  // below, threads of a warp need not be in step
  }
  if (t == 0) *sum = s[0];
}
bool warp_believed_in_step() {
  const DeviceArray<float> x(one_to(kThreads)), sum(1);
  launch(lockstep_kernel, 1, kThreads, 0, kStream, x.data(), sum.data());
  return sum.values()[0] == kThreads * (kThreads + 1) / 2;
}

__global__ void ballot_kernel(float* y) {
  KERNEL_SHARED(float, s, 32);
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (__ballot_sync(0xffffffffu, 1) == 0) return;
  y[threadIdx.x] = s[31 - threadIdx.x];  // a ballot orders no memory
}
bool ballot_believed_a_barrier() {
  const DeviceArray<float> y(32);
  launch(ballot_kernel, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 31;
}

__global__ void count_kernel(int* count) {
  *count = *count + 1;
}
bool count_without_atomic() {
  const DeviceArray<int> count(std::vector<int>{0});
  launch(count_kernel, 1, kThreads, 0, kStream, count.data());
  return count.values()[0] == kThreads;
}

__global__ void shift_kernel(int n, float* x) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i + 1 < n) x[i] = x[i + 1];  // another block may have written it
}
bool neighbour_of_another_block() {
  constexpr int kN = 3 * 32;
  const DeviceArray<float> x(one_to(kN));
  launch(shift_kernel, 3, 32, 0, kStream, kN, x.data());
  const auto got = x.values();
  for (int i = 0; i + 1 < kN; ++i)
    if (got[static_cast<size_t>(i)] != static_cast<float>(i + 2)) return false;
  return true;
}

__global__ void atomic_and_plain_kernel(int* x, int* y) {
  atomicAdd(x, 1);
  if (threadIdx.x == 0) *y = *x;  // while others still add
}
bool read_beside_atomics() {
  const DeviceArray<int> x(std::vector<int>{0}), y(1);
  launch(atomic_and_plain_kernel, 1, kThreads, 0, kStream, x.data(), y.data());
  return y.values()[0] == kThreads;
}

__global__ void two_barriers_kernel(float* y) {
  if (threadIdx.x < 10) {
    y[threadIdx.x] = 1;
    __syncthreads();
  } else {
    __syncthreads();
  }
}
bool barriers_in_two_branches() {
  const DeviceArray<float> y(kThreads);
  launch(two_barriers_kernel, 1, kThreads, 0, kStream, y.data());
  return y.values()[0] == 1;
}

__global__ void early_return_kernel(int n, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= n) return;
  y[i] = 1;
  __syncthreads();
}
bool return_before_a_barrier() {
  const DeviceArray<float> y(kThreads);
  launch(early_return_kernel, 1, kThreads, 0, kStream, 40, y.data());
  return y.values()[0] == 1;
}

__global__ void trips_kernel(float* y) {
  float v = 0;
  for (unsigned i = 0; i < threadIdx.x % 3; ++i, ++v) __syncthreads();
  y[threadIdx.x] = v;
}
bool barrier_in_a_loop_of_different_length() {
  const DeviceArray<float> y(kThreads);
  launch(trips_kernel, 1, kThreads, 0, kStream, y.data());
  return y.values()[0] == 0;
}

template <unsigned kMask>
__global__ void half_shuffle_kernel(float* y) {
  float v = 1;
  if (threadIdx.x < 16) v += __shfl_xor_sync(kMask, v, 1);
  __syncthreads();
  y[threadIdx.x] = v;
}
template <unsigned kMask>
bool shuffle_in_half_a_warp() {
  const DeviceArray<float> y(32);
  launch(half_shuffle_kernel<kMask>, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 2;
}

__global__ void shuffle_after_return_kernel(float* y) {
  if (threadIdx.x >= 16) return;
  y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
bool shuffle_after_lanes_returned() {
  const DeviceArray<float> y(32);
  launch(shuffle_after_return_kernel, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 1;
}

__global__ void outside_mask_kernel(float* y) {
  y[threadIdx.x] = threadIdx.x < 16 ? __shfl_sync(0x0000ffffu, 1.0f, 20) : 0.0f;
}
bool shuffle_from_a_lane_outside_the_mask() {
  const DeviceArray<float> y(32);
  launch(outside_mask_kernel, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 1;
}

__global__ void two_masks_kernel(unsigned* y) {
  y[threadIdx.x] = __ballot_sync(threadIdx.x < 8 ? 0x000001ffu : 0xffffffffu, 1);
}
bool lanes_that_disagree_on_the_mask() {
  const DeviceArray<unsigned> y(32);
  launch(two_masks_kernel, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 0xff;
}

__global__ void two_shuffles_kernel(float* y) {
  const float v = 1;
  if (threadIdx.x < 16)
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, v, 1);
  else
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, v, 2);
}
bool shuffles_in_two_branches() {
  const DeviceArray<float> y(32);
  launch(two_shuffles_kernel, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 1;
}

// y[i] = what lies four numbers on in x, through shared memory, twice over.
template <bool kWaits, bool kMeets, int kOff>
__global__ void copied_kernel(const float* x, float* y) {
  KERNEL_DYN_SHARED(float, s);
  const unsigned i = threadIdx.x;
  for (unsigned round = 0; round < 2; ++round) {
    copy_16_async(s + 4 * i, x + 4 * (32 * round + i) + kOff, true);
    commit_copies();
    if (kWaits) wait_for_copies<0>();
    __syncthreads();
    y[32 * round + i] = s[4 * ((i + 1) % 32)];
    if (kMeets) __syncthreads();
  }
}
template <bool kWaits, bool kMeets, int kOff = 0>
bool copied() {
  std::vector<float> x(256 + kOff);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  const DeviceArray<float> from(x), y(64);
  launch(copied_kernel<kWaits, kMeets, kOff>, 1, 32, 512, kStream, from.data(), y.data());
  const std::vector<float> got = y.values();
  for (size_t i = 0; i < got.size(); ++i)
    if (got[i] != x[4 * (i / 32 * 32 + (i + 1) % 32)]) return false;
  return true;
}

__global__ void rows_kernel(uint32_t* y) {
  KERNEL_DYN_SHARED(uint16_t, s);
  for (unsigned i = threadIdx.x; i < 257; i += 32) s[i] = 1;
  __syncwarp();
  uint32_t of[4];
  load_transposed(of, s + 8 * threadIdx.x + 1);
  y[threadIdx.x] = of[0];
}
bool rows_from_anywhere() {
  const DeviceArray<uint32_t> y(32);
  launch(rows_kernel, 1, 32, 520, kStream, y.data());
  return y.values()[0] == 0x10001;
}

constexpr const char* kRace = "race on ";

}  // namespace

std::span<const Fault> barrier_faults() {
  static constexpr const char *kWrong = "wrong result", *kDeadlock = "deadlock: nobody can go on";
  static constexpr Fault all[] = {
      {"no barrier between write and read", no_barrier_between_write_and_read, kWrong, kWrong,
       kRace},
      {"warp believed in step", warp_believed_in_step, kWrong, kWrong, kRace},
      {"ballot believed a barrier", ballot_believed_a_barrier, nullptr, nullptr, kRace},
      {"count without atomic", count_without_atomic, nullptr, nullptr, kRace},
      {"neighbour of another block", neighbour_of_another_block, kWrong, kWrong, kRace},
      {"read beside atomics", read_beside_atomics, kWrong, kWrong, kRace},
      {"barriers in two branches", barriers_in_two_branches, "divergent barriers: thread",
       "divergent barriers: thread", "divergent barriers: thread"},
      {"return before a barrier", return_before_a_barrier, "return", "return", "return"},
      {"barrier in a loop of different length", barrier_in_a_loop_of_different_length, "return",
       "return", "return"},
      {"shuffle in half a warp, full mask", shuffle_in_half_a_warp<0xffffffffu>, kDeadlock,
       kDeadlock, kDeadlock},
      {"shuffle in half a warp, mask of the others", shuffle_in_half_a_warp<0xffff0000u>,
       "is not in the mask ffff0000 it gives", "is not in the mask", "is not in the mask"},
      {"shuffle after lanes returned", shuffle_after_lanes_returned, "return", "return", "return"},
      {"shuffle from a lane outside the mask", shuffle_from_a_lane_outside_the_mask,
       "reads lane 20, which is not in the mask", "reads lane 20", "reads lane 20"},
      {"lanes that disagree on the mask", lanes_that_disagree_on_the_mask, "gives mask",
       "gives mask", "gives mask"},
      {"copies that nobody waited for", copied<false, true>, kWrong, kWrong, kWrong},
      {"copies of 16 bytes from anywhere", copied<true, true, 1>, "not at multiples of 16",
       "not at multiples of 16", "not at multiples of 16"},
      {"rows of matrices from anywhere", rows_from_anywhere, "not at a multiple of 16",
       "not at a multiple of 16", "not at a multiple of 16"},
      {"copies over what others still read", copied<true, false>, kWrong, kWrong, kRace},
      {"shuffles in two branches", shuffles_in_two_branches, "divergent warp: lane",
       "divergent warp: lane", "divergent warp: lane"},
  };
  return all;
}

}  // namespace expunge::test
