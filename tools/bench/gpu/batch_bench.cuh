#pragma once

#include "tools/bench/gpu/update_bench.cuh"

// The whole update from k gradients of each objective in one kernel, and running statistics fed c
// gradients at a time.
namespace expunge::gpu_bench {

template <int k, bool kStreaming>
void check_batch_kernel(cudaStream_t stream, bool host, uint64_t seed) {
  check_batches<k>("batches.k" + std::to_string(k) + (kStreaming ? ".streaming" : ""), host,
                   500'004, seed, [&](const BatchArgs<k>& a) {
                     if (host) {
                       run_on_host([&](int64_t t, int64_t threads) {
                         batch_body<k, kStreaming>(a, t, threads);
                       });
                     } else {
                       batch_kernel<k, kStreaming>
                           <<<grid_size(a.n / 4, 256, 2), 256, 0, stream>>>(a);
                       wait(stream);
                     }
                   });
}

template <int c>
void check_chunk_kernel(cudaStream_t stream, bool host, uint64_t seed) {
  check_chunk<c>("chunks.c" + std::to_string(c), host, 500'004, seed, [&](const ChunkArgs<c>& a) {
    if (host) {
      run_on_host([&](int64_t t, int64_t threads) { chunk_body<c, true>(a, t, threads); });
    } else {
      chunk_kernel<c, true><<<grid_size(a.n / 4, 256, 2), 256, 0, stream>>>(a);
      wait(stream);
    }
  });
}

inline void check_batch_kernels(cudaStream_t stream, bool host, uint64_t seed) {
  check_batch_kernel<4, true>(stream, host, seed);
  check_batch_kernel<8, false>(stream, host, seed + 1000);
  check_batch_kernel<8, true>(stream, host, seed + 2000);
  check_chunk_kernel<1>(stream, host, seed + 3000);
  check_chunk_kernel<4>(stream, host, seed + 4000);
  check_chunk_kernel<8>(stream, host, seed + 5000);
}

// 2 k gradients, parameters, momentum: at k = 8 0.8 GB, so that no run finds another's in the L2.
class Gradients {
 public:
  Gradients(cudaStream_t stream, int64_t n, int count) {
    for (int i = 0; i < count + 2; ++i) {
      arrays_.emplace_back(n);
      fill(stream, arrays_.back().get(), n, i, i < count ? 1e-3f : 1e-2f, i % 2 ? -1e-4f : 2e-4f);
    }
  }
  float* gradient(int i) const { return arrays_[i].get(); }
  float* state(int i) const { return arrays_[arrays_.size() - 2 + i].get(); }

 private:
  std::vector<DeviceArray<>> arrays_;
};

template <int k, bool kStreaming>
void sweep_batches(cudaStream_t stream, const Gradients& gradients, uint8_t* mask, int64_t n,
                   double copy_rate, Best& best) {
  BatchArgs<k> a;
  a.n = n;
  for (int j = 0; j < k; ++j)
    a.g_f[j] = gradients.gradient(2 * j), a.g_r[j] = gradients.gradient(2 * j + 1);
  a.p = gradients.state(0), a.v = gradients.state(1), a.mask = mask;
  for (const int block : {64, 128, 256, 512}) {
    for (const int blocks_per_sm : {1, 2, 4, 8, 0}) {
      const int grid = grid_size(n / 4, block, blocks_per_sm);
      const Times t = time_launches(
          stream, [&](int64_t) { batch_kernel<k, kStreaming><<<grid, block, 0, stream>>>(a); });
      report_time("batches.k" + std::to_string(k), {block, blocks_per_sm, 1, kStreaming}, n,
                  8 * k + 16.25, copy_rate, t, best);
    }
  }
}

inline void measure_batches(cudaStream_t stream, double copy_rate) {
  for (const int64_t size : kSizes) {
    const int64_t n = size / 4 * 4;
    const Gradients gradients(stream, n, 16);
    const DeviceArray<uint8_t> mask(n / 4);
    Best k8, k4;
    sweep_batches<8, false>(stream, gradients, mask.get(), n, copy_rate, k8);
    sweep_batches<8, true>(stream, gradients, mask.get(), n, copy_rate, k8);
    report_best("batches.k8", n, 80.25, copy_rate, k8);
    sweep_batches<4, true>(stream, gradients, mask.get(), n, copy_rate, k4);
    report_best("batches.k4", n, 48.25, copy_rate, k4);
  }
}

template <int c>
void sweep_chunks(cudaStream_t stream, const Gradients& gradients, int64_t n, double copy_rate) {
  Best best;
  for (const int block : {128, 256, 512}) {
    for (const int blocks_per_sm : {4, 8, 0}) {
      const int grid = grid_size(n / 4, block, blocks_per_sm);
      const Times t = time_launches(stream, [&](int64_t i) {
        ChunkArgs<c> a;  // another c of the 16 gradients each time
        a.n = n;
        for (int j = 0; j < c; ++j) a.g[j] = gradients.gradient((i * c + j) % 16);
        a.mean = gradients.state(0), a.m2 = gradients.state(1), a.before = 8.0f;
        chunk_kernel<c, true><<<grid, block, 0, stream>>>(a);
      });
      report_time("chunks.c" + std::to_string(c), {block, blocks_per_sm, 1, true}, n, 4 * c + 16,
                  copy_rate, t, best);
    }
  }
  report_best("chunks.c" + std::to_string(c), n, 4 * c + 16, copy_rate, best);
}

inline void measure_chunks(cudaStream_t stream, double copy_rate) {
  const int64_t n = kSizes[0] / 4 * 4;
  const Gradients gradients(stream, n, 16);
  sweep_chunks<1>(stream, gradients, n, copy_rate);
  sweep_chunks<2>(stream, gradients, n, copy_rate);
  sweep_chunks<4>(stream, gradients, n, copy_rate);
  sweep_chunks<8>(stream, gradients, n, copy_rate);
}

}  // namespace expunge::gpu_bench
