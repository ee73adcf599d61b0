#include "kernels/conv2d.h"
#include "kernels/each.cuh"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

template <int V, class T>
struct AddBias {
  unsigned groups;  // K / V
  const float* bias;
  T* y;
  __device__ void operator()(int64_t i) const {
    const int64_t k = channel<V>(i, groups);
    Floats<V> sum = load<V>(y + V * i);
    for (int v = 0; v < V; ++v) sum.v[v] += bias[k + v];
    store(y + V * i, sum);
  }
};

}  // namespace

void add_bias(Stream stream, int64_t rows, int64_t K, const float* bias, Values y) {
  const auto channels = static_cast<unsigned>(K);
  const StreamAt at = stream;
  of_type(y.type, [&]<class T>(T) {
    constexpr int V = kVector<T>;
    if (channels % V == 0)
      each(at, rows * K / V, AddBias<V, T>{channels / V, bias, y.as<T>()});
    else
      each(at, rows * K, AddBias<1, T>{channels, bias, y.as<T>()});
  });
}

}  // namespace expunge::kernels::cuda
