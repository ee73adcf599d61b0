#include "kernels/conv2d.h"
#include "kernels/each.cuh"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

template <int V>
struct AddBias {
  unsigned groups;  // K / V
  const float* bias;
  float* y;
  __device__ void operator()(int64_t i) const {
    const int64_t k = channel<V>(i, groups);
    Floats<V> sum = load<V>(y + V * i);
    for (int v = 0; v < V; ++v) sum.v[v] += bias[k + v];
    store(y + V * i, sum);
  }
};

}  // namespace

void add_bias(Stream stream, int64_t rows, int64_t K, const float* bias, float* y) {
  const auto channels = static_cast<unsigned>(K);
  if (channels % 4 == 0)
    each(stream, rows * K / 4, AddBias<4>{channels / 4, bias, y});
  else
    each(stream, rows * K, AddBias<1>{channels, bias, y});
}

}  // namespace expunge::kernels::cuda
