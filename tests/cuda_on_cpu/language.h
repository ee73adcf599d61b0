#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernel_side.h"

// The language of CUDA kernels as C++. Not here, since kernels must not use it: approximate
// functions, fences and other ways to speak between blocks, __activemask, cooperative groups.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// __noinline__ is left alone: the C++ library uses it as the name of an attribute.

// kernels/launch.h has these for nvcc, and says what they mean.
#define KERNEL_SHARED(T, name, n)                                                      \
  auto& name = *static_cast<std::type_identity_t<T[n]>*>(::cuda_on_cpu::static_shared( \
      []() -> const void* {                                                            \
        static char key;                                                               \
        return &key;                                                                   \
      }(),                                                                             \
      sizeof(T[n]), alignof(T)))
#define KERNEL_DYN_SHARED(T, name) T* const name = static_cast<T*>(::cuda_on_cpu::dynamic_shared())

inline constexpr const uint3& threadIdx = cuda_on_cpu::here.thread;
inline constexpr const uint3& blockIdx = cuda_on_cpu::here.block;
inline constexpr const dim3& blockDim = cuda_on_cpu::here.block_dim;
inline constexpr const dim3& gridDim = cuda_on_cpu::here.grid_dim;
inline constexpr int warpSize = 32;

// The line that calls, as the default of a last parameter.
#define CUDA_ON_CPU_SITE ::cuda_on_cpu::Site site_ = {__builtin_FILE(), __builtin_LINE()}

inline void __syncthreads(CUDA_ON_CPU_SITE) {
  cuda_on_cpu::block_barrier(site_);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_ON_CPU_SITE) {
  cuda_on_cpu::warp_barrier(mask, site_);
}

namespace cuda_on_cpu {

template <class T>
inline T shuffle_value(unsigned mask, T value, unsigned source, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return std::bit_cast<T>(
      static_cast<Bits>(shuffle(mask, std::bit_cast<Bits>(value), source, site)));
}

// One after the other, since threads of the emulation give way at barriers only.
template <class T, class F>
inline T update(T* p, F f) {
  const Atomic scope;
  const T old = *p;
  *p = f(old);
  return old;
}

}  // namespace cuda_on_cpu

// Sources beyond the segment of `width` lanes are the lane itself, as in CUDA.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUDA_ON_CPU_SITE) {
  const int lane = static_cast<int>(cuda_on_cpu::lane()), first = lane & ~(width - 1);
  const int from = first + (source & (width - 1));
  return cuda_on_cpu::shuffle_value(mask, value, static_cast<unsigned>(from), site_);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32, CUDA_ON_CPU_SITE) {
  const int lane = static_cast<int>(cuda_on_cpu::lane()), from = lane ^ flip;
  const bool reachable = (from & ~(width - 1)) <= (lane & ~(width - 1));
  return cuda_on_cpu::shuffle_value(mask, value, static_cast<unsigned>(reachable ? from : lane),
                                    site_);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, CUDA_ON_CPU_SITE) {
  const unsigned lane = cuda_on_cpu::lane(), segment = static_cast<unsigned>(width);
  const bool inside = lane % segment + by < segment;
  return cuda_on_cpu::shuffle_value(mask, value, inside ? lane + by : lane, site_);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, CUDA_ON_CPU_SITE) {
  const unsigned lane = cuda_on_cpu::lane(), segment = static_cast<unsigned>(width);
  return cuda_on_cpu::shuffle_value(mask, value, lane % segment >= by ? lane - by : lane, site_);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::ballot(mask, predicate != 0, site_);
}
inline int __any_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::ballot(mask, predicate != 0, site_) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::ballot(mask, predicate == 0, site_) == 0;
}
// kernels/async_copy.cuh has these for nvcc, and says what they do.
namespace cuda_on_cpu {
inline void make_copy(const AsyncCopy& copy) {
  for (int i = 0; i < 4; ++i) copy.to[i] = copy.from != nullptr ? copy.from[i] : 0.0f;
}
}  // namespace cuda_on_cpu
inline void copy_16_async(void* to, const void* from, bool there) {
  const cuda_on_cpu::AsyncCopy copy{static_cast<float*>(to),
                                    there ? static_cast<const float*>(from) : nullptr};
  if (cuda_on_cpu::copies_early(copy))
    cuda_on_cpu::make_copy(copy);
  else
    cuda_on_cpu::queue_copy(copy);
}
inline void commit_copies() {
  cuda_on_cpu::close_copies();
}
template <int kGroups>
inline void wait_for_copies() {
  for (auto copy = cuda_on_cpu::take_copy(kGroups); copy.to != nullptr;
       copy = cuda_on_cpu::take_copy(kGroups))
    cuda_on_cpu::make_copy(copy);
}

// kernels/mma.cuh has these for nvcc, and says what they do.
inline void load_transposed(uint32_t (&d)[4], const void* row, CUDA_ON_CPU_SITE) {
  cuda_on_cpu::check_row(row, site_);
  const unsigned g = cuda_on_cpu::lane() / 4, t = cuda_on_cpu::lane() % 4;
  for (unsigned q = 0; q < 4; ++q) {
    d[q] = 0;
    for (unsigned h = 0; h < 2; ++h) {
      const auto from =
          cuda_on_cpu::shuffle(0xffffffffu, std::bit_cast<uint64_t>(row), 8 * q + 2 * t + h, site_);
      d[q] |= uint32_t{std::bit_cast<const uint16_t*>(from)[g]} << 16 * h;
    }
  }
}
template <class T>
inline void mma_16x8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     CUDA_ON_CPU_SITE) {
  constexpr uint32_t kTf32 = ~0u << 13;
  const auto number = [](uint32_t word, int half) {
    if constexpr (sizeof(T) == sizeof(word))
      return std::bit_cast<float>(word & kTf32);
    else
      return to_float(T{static_cast<uint16_t>(half == 0 ? word : word >> 16)});
  };
  cuda_on_cpu::multiply_matrices(d, a, b, sizeof(uint32_t) / sizeof(T), number, site_);
}
#undef CUDA_ON_CPU_SITE

// kernels/launch.h has it for nvcc, and says what it does.
inline void start_kernel() {
  cuda_on_cpu::note_start();
}

template <class T>
inline T atomicAdd(T* p, std::type_identity_t<T> v) {
  return cuda_on_cpu::update(p, [v](T old) { return static_cast<T>(old + v); });
}
template <class T>
inline T atomicMax(T* p, std::type_identity_t<T> v) {
  static_assert(std::is_integral_v<T>);
  return cuda_on_cpu::update(p, [v](T old) { return old < v ? v : old; });
}
template <class T>
inline T atomicMin(T* p, std::type_identity_t<T> v) {
  static_assert(std::is_integral_v<T>);
  return cuda_on_cpu::update(p, [v](T old) { return v < old ? v : old; });
}
template <class T>
inline T atomicOr(T* p, std::type_identity_t<T> v) {
  return cuda_on_cpu::update(p, [v](T old) { return old | v; });
}
template <class T>
inline T atomicAnd(T* p, std::type_identity_t<T> v) {
  return cuda_on_cpu::update(p, [v](T old) { return old & v; });
}
template <class T>
inline T atomicExch(T* p, std::type_identity_t<T> v) {
  return cuda_on_cpu::update(p, [v](T) { return v; });
}
template <class T>
inline T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return cuda_on_cpu::update(p, [=](T old) { return old == expected ? v : old; });
}

template <class T>
inline T __ldg(const T* p) {
  return *p;
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((uint64_t{a} * b) >> 32);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
