#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tools/bench/gpu/update_check.cuh"

// Times the kernels of update_kernels.cuh, each checked first.
namespace expunge::gpu_bench {

inline constexpr int64_t kSizes[] = {11'173'962, 15'311'818};  // ResNet18, VGG16-BN
inline constexpr int kMaxBlock = 512;

template <Gate kGate, int kVectors, bool kStreaming>
__global__ void __launch_bounds__(kMaxBlock) update_kernel(const __grid_constant__ UpdateArgs a) {
  update_body<kGate, kVectors, kStreaming>(a, blockIdx.x * int64_t{blockDim.x} + threadIdx.x,
                                           gridDim.x * int64_t{blockDim.x});
}
template <int k, bool kStreaming>
__global__ void __launch_bounds__(kMaxBlock) batch_kernel(const __grid_constant__ BatchArgs<k> a) {
  batch_body<k, kStreaming>(a, blockIdx.x * int64_t{blockDim.x} + threadIdx.x,
                            gridDim.x * int64_t{blockDim.x});
}
template <int c, bool kStreaming>
__global__ void __launch_bounds__(kMaxBlock) chunk_kernel(const __grid_constant__ ChunkArgs<c> a) {
  chunk_body<c, kStreaming>(a, blockIdx.x * int64_t{blockDim.x} + threadIdx.x,
                            gridDim.x * int64_t{blockDim.x});
}

struct FillArgs {
  float* x;
  int64_t n;
  uint64_t seed;
  float scale, shift;
  bool absolute;
};
static __global__ void fill_kernel(FillArgs a) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < a.n;
       i += gridDim.x * int64_t{blockDim.x}) {
    const float y = draw(a.seed, i);
    a.x[i] = a.shift + a.scale * (a.absolute ? 0.25f + fabsf(y) : y);
  }
}
inline void fill(cudaStream_t stream, float* x, int64_t n, uint64_t seed, float scale,
                 float shift = 0.0f, bool absolute = false) {
  fill_kernel<<<8 * multiprocessors, 256, 0, stream>>>({x, n, seed, scale, shift, absolute});
  BENCH_CUDA(cudaGetLastError());
}

struct Setting {
  int block, blocks_per_sm, vectors;
  bool streaming;
};
struct Best {
  double us = 1e30;
  Setting setting{};
};

// One timed setting: bytes over time, and that over the copy's rate.
inline void report_time(const std::string& name, const Setting& s, int64_t n,
                        double bytes_per_param, double copy_rate, const Times& t, Best& best) {
  const double rate = bytes_per_param * n / t.median / 1e3;
  emit(name,
       "\"n\": %lld, \"block\": %d, \"blocks_per_sm\": %d, \"vectors\": %d, \"streaming\": %s, "
       "\"bytes_per_param\": %.3f, \"median_us\": %.2f, \"p10_us\": %.2f, \"p90_us\": %.2f, "
       "\"samples\": %d, \"GBps\": %.1f, \"of_copy\": %.3f",
       static_cast<long long>(n), s.block, s.blocks_per_sm, s.vectors,
       s.streaming ? "true" : "false", bytes_per_param, t.median, t.p10, t.p90, t.samples, rate,
       rate / copy_rate);
  if (t.median < best.us) best = {t.median, s};
}
inline void report_best(const std::string& name, int64_t n, double bytes_per_param,
                        double copy_rate, const Best& best) {
  const double rate = bytes_per_param * n / best.us / 1e3;
  emit(name + ".best",
       "\"n\": %lld, \"block\": %d, \"blocks_per_sm\": %d, \"vectors\": %d, \"streaming\": %s, "
       "\"median_us\": %.2f, \"floor_us\": %.2f, \"GBps\": %.1f, \"of_copy\": %.3f",
       static_cast<long long>(n), best.setting.block, best.setting.blocks_per_sm,
       best.setting.vectors, best.setting.streaming ? "true" : "false", best.us,
       bytes_per_param * n / copy_rate / 1e3, rate, rate / copy_rate);
}

// body(thread, threads) for every thread, as a grid would.
template <class F>
void run_on_host(F body) {
  constexpr int64_t threads = 777;
  for (int64_t t = 0; t < threads; ++t) body(t, threads);
}
inline void wait(cudaStream_t stream) {
  BENCH_CUDA(cudaGetLastError());
  BENCH_CUDA(cudaStreamSynchronize(stream));
}

template <Gate kGate>  // in the order of the enum
constexpr const char* kGateName =
    std::array{"none", "and", "prob", "focus", "traffic"}[static_cast<size_t>(kGate)];

template <Gate kGate, int kVectors, bool kStreaming>
void check_update_kernel(cudaStream_t stream, bool host, uint64_t seed) {
  for (const int64_t n : {int64_t{3}, int64_t{1'000'003}}) {
    const std::string name = std::string("update.") + kGateName<kGate> + ".v" +
                             std::to_string(kVectors) + (kStreaming ? ".streaming" : "");
    check_update<kGate>(name, host, n, seed, n % 2 == 1 && kStreaming, [&](const UpdateArgs& a) {
      if (host) {
        run_on_host([&](int64_t t, int64_t threads) {
          update_body<kGate, kVectors, kStreaming>(a, t, threads);
        });
      } else {
        update_kernel<kGate, kVectors, kStreaming><<<grid_size(n / 4, 256, 2), 256, 0, stream>>>(a);
        wait(stream);
      }
    });
  }
}

template <Gate kGate>
void check_update_kernels(cudaStream_t stream, bool host, uint64_t seed) {
  check_update_kernel<kGate, 1, false>(stream, host, seed);
  check_update_kernel<kGate, 1, true>(stream, host, seed + 10);
  check_update_kernel<kGate, 2, false>(stream, host, seed + 20);
  check_update_kernel<kGate, 2, true>(stream, host, seed + 30);
}

// Two sets of the seven arrays, 28 bytes a parameter each: 0.6 GB, far beyond the L2.
class UpdateSets {
 public:
  UpdateSets(cudaStream_t stream, int64_t n) : n_(n) {
    for (int set = 0; set < 2; ++set) {
      for (int i = 0; i < 7; ++i) arrays_.emplace_back(n);
      const UpdateArgs a = args(set);
      fill(stream, const_cast<float*>(a.g_f), n, 10 * set + 1, 1e-3f, 2e-4f);
      fill(stream, const_cast<float*>(a.g_r), n, 10 * set + 2, 1e-3f, -1e-4f);
      fill(stream, a.v_f, n, 10 * set + 3, 1e-6f, 0.0f, true);
      fill(stream, a.v_r, n, 10 * set + 4, 1e-6f, 0.0f, true);
      fill(stream, a.p, n, 10 * set + 5, 0.05f);
      fill(stream, a.m, n, 10 * set + 6, 1e-3f);
      fill(stream, a.s, n, 10 * set + 7, 1e-6f, 0.0f, true);
    }
  }
  UpdateArgs args(int set) const {
    const auto at = [&](int i) { return arrays_[7 * set + i].get(); };
    UpdateArgs a;
    a.n = n_;
    a.g_f = at(0), a.g_r = at(1), a.v_f = at(2), a.v_r = at(3), a.p = at(4), a.m = at(5);
    a.s = at(6);
    a.adam.lr = 1e-4f;
    return a;
  }

 private:
  int64_t n_;
  std::vector<DeviceArray<>> arrays_;
};

template <Gate kGate, int kVectors, bool kStreaming>
void sweep_update(cudaStream_t stream, const UpdateSets& sets, int64_t n, double copy_rate,
                  Best& best) {
  const std::string name = std::string("update.") + kGateName<kGate>;
  const UpdateArgs args[2] = {sets.args(0), sets.args(1)};
  for (const int block : {128, 256, 512}) {
    for (const int blocks_per_sm : {2, 4, 8, 16, 0}) {
      const int grid = grid_size((n / 4 + kVectors - 1) / kVectors, block, blocks_per_sm);
      const Times t = time_launches(stream, [&](int64_t i) {
        update_kernel<kGate, kVectors, kStreaming><<<grid, block, 0, stream>>>(args[i % 2]);
      });
      report_time(name, {block, blocks_per_sm, kVectors, kStreaming}, n, kNeedsPhi<kGate> ? 48 : 32,
                  copy_rate, t, best);
    }
  }
}

template <Gate kGate>
void time_update(cudaStream_t stream, const UpdateSets& sets, int64_t n, double copy_rate) {
  Best best;
  sweep_update<kGate, 1, false>(stream, sets, n, copy_rate, best);
  sweep_update<kGate, 1, true>(stream, sets, n, copy_rate, best);
  sweep_update<kGate, 2, false>(stream, sets, n, copy_rate, best);
  sweep_update<kGate, 2, true>(stream, sets, n, copy_rate, best);
  report_best(std::string("update.") + kGateName<kGate>, n, kNeedsPhi<kGate> ? 48 : 32, copy_rate,
              best);
}

}  // namespace expunge::gpu_bench
