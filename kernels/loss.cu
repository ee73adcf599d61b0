#include "kernels/each.cuh"
#include "kernels/loss_math.h"

namespace expunge::kernels::cuda {
namespace {

constexpr unsigned kWarp = 32, kThreads = 128, kAll = 0xffffffffu;

// Lanes of the calling warp; sums in a fixed order, the same for every lane.
struct Warp {
  static constexpr int64_t step = kWarp;
  int64_t first = threadIdx.x % kWarp;
};
__device__ double max(Warp, double x) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    const double other = __shfl_xor_sync(kAll, x, lanes);
    x = other > x ? other : x;
  }
  return x;
}
__device__ double sum(Warp, double x) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAll, x, lanes);
  return x;
}

// row(warp, i) for each i in [0, N), a warp each
template <class Row>
__global__ void __launch_bounds__(kThreads) rows_kernel(int64_t N, Row row) {
  start_kernel();
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp;
  if (i < N) row(Warp{}, i);
}

template <class Row>
void for_rows(const StreamAt& stream, int64_t N, const Row& row) {
  if (N > 0) launch(rows_kernel<Row>, blocks_for(N, kThreads / kWarp), kThreads, 0, stream, N, row);
}

struct Xent {
  SoftmaxXent a;
  float *losses, *gradient;
  __device__ void operator()(Warp warp, int64_t i) const {
    math::softmax_xent(warp, a, i, losses, gradient);
  }
};

struct Kl {
  int64_t C;
  const float *student, *teacher;
  double temperature;
  float *losses, *gradient;
  __device__ void operator()(Warp warp, int64_t i) const {
    math::softmax_kl(warp, C, student, teacher, temperature, i, losses, gradient);
  }
};

struct Scrub {
  int64_t C;
  const float *student, *teacher;
  float *losses, *gradient;
  __device__ void operator()(Warp warp, int64_t i) const {
    math::softmax_scrub(warp, C, student, teacher, i, losses, gradient);
  }
};

struct SquaredError {
  int64_t C;
  const float *x, *targets;
  float *losses, *gradient;
  __device__ void operator()(Warp warp, int64_t i) const {
    math::squared_error(warp, C, x, targets, i, losses, gradient);
  }
};

struct Softmax {
  int64_t C;
  const float* x;
  float* y;
  __device__ void operator()(Warp warp, int64_t i) const { math::softmax(warp, C, x, i, y); }
};

struct Top1 {
  int64_t C;
  const float* x;
  const int32_t* labels;
  float* hits;
  __device__ void operator()(int64_t i) const { hits[i] = math::top1(C, x + i * C, labels[i]); }
};

}  // namespace

void softmax_xent(Stream stream, const SoftmaxXent& a, float* losses, float* gradient) {
  for_rows(stream, a.N, Xent{a, losses, gradient});
}

void softmax_kl(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                float temperature, float* losses, float* gradient) {
  for_rows(stream, N, Kl{C, student, teacher, temperature, losses, gradient});
}

void softmax_scrub(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                   float* losses, float* gradient) {
  for_rows(stream, N, Scrub{C, student, teacher, losses, gradient});
}

void squared_error(Stream stream, int64_t N, int64_t C, const float* x, const float* targets,
                   float* losses, float* gradient) {
  for_rows(stream, N, SquaredError{C, x, targets, losses, gradient});
}

void softmax(Stream stream, int64_t N, int64_t C, const float* x, float* y) {
  for_rows(stream, N, Softmax{C, x, y});
}

void top1(Stream stream, int64_t N, int64_t C, const float* x, const int32_t* labels, float* hits) {
  each(stream, N, Top1{C, x, labels, hits});
}

}  // namespace expunge::kernels::cuda
