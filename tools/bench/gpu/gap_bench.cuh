#pragma once

#include <string>

#include "tools/bench/gpu/device.cuh"

// Time a kernel costs besides its work: a chain of kernels that do nothing, or next to nothing, in
// one CUDA graph or launched one by one, with and without programmatic dependent launch (PDL).
namespace expunge::gpu_bench {

// x += 1 (n); n = 0: empty. With PDL the next kernel may start when all blocks of this one did, and
// waits before it touches memory.
template <bool kPdl>
__global__ void step_kernel(float* x, int n) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (kPdl) {
    cudaTriggerProgrammaticLaunchCompletion();
    cudaGridDependencySynchronize();
  }
#endif
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += 1.0f;
}

template <bool kPdl>
void launch_step(cudaStream_t stream, int grid, float* x, int n) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid);
  config.blockDim = dim3(256);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = kPdl ? 1 : 0;
  BENCH_CUDA(cudaLaunchKernelEx(&config, step_kernel<kPdl>, x, n));
}

template <bool kPdl>
void measure_chain(cudaStream_t stream, const char* work, int grid, float* x, int n) {
  constexpr int nodes = 1000;
  const auto chain = [&] {
    for (int i = 0; i < nodes; ++i) launch_step<kPdl>(stream, grid, x, n);
  };
  const auto report = [&](const char* how, const Times& t) {
    emit("gap",
         "\"how\": \"%s\", \"pdl\": %s, \"work\": \"%s\", \"grid\": %d, \"nodes\": %d, "
         "\"us_per_node\": %.4f, \"p10_us\": %.4f, \"p90_us\": %.4f, \"samples\": %d",
         how, kPdl ? "true" : "false", work, grid, nodes, t.median / nodes, t.p10 / nodes,
         t.p90 / nodes, t.samples);
  };
  const Graph graph(stream, chain);
  report("graph", time_launches(
                      stream, [&](int64_t) { graph.launch(stream); }, 20, 1));
  report("stream", time_launches(
                       stream, [&](int64_t) { chain(); }, 10, 1));
}

// After a chain of known length x counts its kernels: an edge that PDL loosened too far would lose
// some.
template <bool kPdl>
void check_chain(cudaStream_t stream, int grid, float* x, int n) {
  BENCH_CUDA(cudaMemsetAsync(x, 0, n * sizeof(float), stream));
  const Graph graph(stream, [&] {
    for (int i = 0; i < 500; ++i) launch_step<kPdl>(stream, grid, x, n);
  });
  graph.launch(stream);
  std::vector<float> y(n);
  BENCH_CUDA(cudaMemcpyAsync(y.data(), x, n * sizeof(float), cudaMemcpyDeviceToHost, stream));
  BENCH_CUDA(cudaStreamSynchronize(stream));
  const bool ok = std::all_of(y.begin(), y.end(), [](float v) { return v == 500.0f; });
  all_ok &= ok;
  emit(kPdl ? "check.gap.pdl" : "check.gap", "\"ok\": %s, \"n\": %d", ok ? "true" : "false", n);
}

inline void measure_gaps(cudaStream_t stream) {
  const int grid = 4 * multiprocessors, n = 256 * grid;
  DeviceArray<> x(n);
  check_chain<false>(stream, grid, x.get(), n);
  check_chain<true>(stream, grid, x.get(), n);
  measure_chain<false>(stream, "empty", 1, x.get(), 0);
  measure_chain<true>(stream, "empty", 1, x.get(), 0);
  measure_chain<false>(stream, "empty", grid, x.get(), 0);
  measure_chain<true>(stream, "empty", grid, x.get(), 0);
  measure_chain<false>(stream, "add", grid, x.get(), n);
  measure_chain<true>(stream, "add", grid, x.get(), n);
}

}  // namespace expunge::gpu_bench
