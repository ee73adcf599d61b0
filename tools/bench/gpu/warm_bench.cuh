#pragma once

#include "tools/bench/gpu/update_bench.cuh"

// The update right after the kernel that wrote g_r, as a weight gradient does: what the L2 still
// holds of it need not be read again. Each row is the time of writer and update together in one
// graph; the writer alone stands beside it.
namespace expunge::gpu_bench {

static __global__ void write_kernel(float* x, int64_t n, uint64_t seed) {
  const int64_t threads = gridDim.x * int64_t{blockDim.x};
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n / 4; i += threads) {
    const float y = 1e-3f * draw(seed, i);
    reinterpret_cast<float4*>(x)[i] = make_float4(y, -y, 0.5f * y, -0.5f * y);
  }
}

// The same arrays from parameter `first` on, `count` of them.
inline UpdateArgs part_of(UpdateArgs a, int64_t first, int64_t count) {
  a.g_f += first, a.g_r += first, a.v_f += first, a.v_r += first;
  a.p += first, a.m += first, a.s += first;
  a.n = count;
  return a;
}

// chunk: parameters written and then updated at a time. warm: the update reads what was written,
// else the other set's, which is cold.
inline void measure_order(cudaStream_t stream, const UpdateSets& sets, int64_t n, int64_t chunk,
                          bool warm, bool reverse, double writer_us, double copy_rate) {
  const Graph graph(stream, [&] {
    for (int64_t first = 0; first < n; first += chunk) {
      const int64_t count = std::min(chunk, n - first);
      float* written = const_cast<float*>(sets.args(0).g_r) + first;
      write_kernel<<<grid_size(count / 4, 256, 8), 256, 0, stream>>>(written, count, 7);
      UpdateArgs a = part_of(sets.args(warm ? 0 : 1), first, count);
      a.reverse = reverse;
      update_kernel<Gate::prob, 1, true><<<grid_size(count / 4, 256, 0), 256, 0, stream>>>(a);
    }
    BENCH_CUDA(cudaGetLastError());
  });
  const Times t = time_launches(
      stream, [&](int64_t) { graph.launch(stream); }, 20, 1);
  emit("warm",
       "\"n\": %lld, \"chunk\": %lld, \"g_r\": \"%s\", \"reverse\": %s, \"median_us\": %.2f, "
       "\"p10_us\": %.2f, \"p90_us\": %.2f, \"samples\": %d, \"writer_us\": %.2f, "
       "\"update_us\": %.2f, \"floor48_us\": %.2f, \"floor44_us\": %.2f",
       static_cast<long long>(n), static_cast<long long>(chunk), warm ? "warm" : "cold",
       reverse ? "true" : "false", t.median, t.p10, t.p90, t.samples, writer_us,
       t.median - writer_us, 48.0 * n / copy_rate / 1e3, 44.0 * n / copy_rate / 1e3);
}

inline void measure_warm(cudaStream_t stream, double copy_rate) {
  const int64_t n = kSizes[0];
  const UpdateSets sets(stream, n);
  for (const int64_t chunk : {n, int64_t{4} << 20, int64_t{2'359'296}, int64_t{1} << 20}) {
    const Graph writers(stream, [&] {
      for (int64_t first = 0; first < n; first += chunk) {
        const int64_t count = std::min(chunk, n - first);
        float* written = const_cast<float*>(sets.args(0).g_r) + first;
        write_kernel<<<grid_size(count / 4, 256, 8), 256, 0, stream>>>(written, count, 7);
      }
      BENCH_CUDA(cudaGetLastError());
    });
    const Times t = time_launches(
        stream, [&](int64_t) { writers.launch(stream); }, 20, 1);
    for (const bool warm : {false, true})
      for (const bool reverse : {false, true})
        measure_order(stream, sets, n, chunk, warm, reverse, t.median, copy_rate);
  }
}

}  // namespace expunge::gpu_bench
