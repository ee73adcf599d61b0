#include "kernels/each.cuh"
#include "kernels/pool2d.h"
#include "kernels/pool2d_math.h"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

// V neighbouring channels, from c on: group i of (N, H, W, C / V).
struct Place {
  int64_t n, h, w, c;
};
template <class Index, int V>
__device__ Place place(int64_t group, int64_t H, int64_t W, int64_t C) {
  auto i = static_cast<Index>(group);
  const Index groups = static_cast<Index>(C / V), width = static_cast<Index>(W),
              height = static_cast<Index>(H);
  const Index c = i % groups, w = (i /= groups) % width, h = (i /= width) % height;
  return {static_cast<int64_t>(i / height), static_cast<int64_t>(h), static_cast<int64_t>(w),
          V * static_cast<int64_t>(c)};
}

// body<Index, T, V> for n elements with C channels: V at once, where C allows it, and with 32-bit
// indices where they do, since a division of 64 bits costs ten times as much.
template <template <class, class, int> class Body, class T, class... A>
void each_place(const StreamAt& stream, int64_t n, int64_t C, const A&... arguments) {
  constexpr int V = kVector<T>;
  if (n >> 32 != 0)
    each(stream, n, Body<uint64_t, T, 1>{arguments...});
  else if (C % V == 0)
    each(stream, n / V, Body<uint32_t, T, V>{arguments...});
  else
    each(stream, n, Body<uint32_t, T, 1>{arguments...});
}

// Of outputs.
template <class Index, class T, int V>
struct MaxPool {
  Pool2dShape s;
  const T* x;
  T* y;
  int32_t* which;
  __device__ void operator()(int64_t i) const {
    const Place out = place<Index, V>(i, s.P(), s.Q(), s.C);
    const math::Window wy = math::pool_window(out.h, s.kernel, s.stride, s.pad, s.H),
                       wx = math::pool_window(out.w, s.kernel, s.stride, s.pad, s.W);
    const T* in = x + out.n * s.H * s.W * s.C + out.c;
    const auto first = static_cast<int32_t>(wy.begin * s.W + wx.begin);
    Floats<V> best = load<V>(in + first * s.C);
    Packed<V, int32_t> at;
    for (int v = 0; v < V; ++v) at.v[v] = first;
    for (int64_t h = wy.begin; h < wy.end; ++h)
      for (int64_t w = wx.begin; w < wx.end; ++w) {
        const auto here = static_cast<int32_t>(h * s.W + w);
        const Floats<V> value = load<V>(in + here * s.C);
        for (int v = 0; v < V; ++v)
          if (math::pool_better(value.v[v], best.v[v])) best.v[v] = value.v[v], at.v[v] = here;
      }
    store(y + V * i, best);
    *reinterpret_cast<Packed<V, int32_t>*>(which + V * i) = at;
  }
};

// Of inputs: what comes back from the outputs that they were the largest of, in their order.
template <class Index, class T, int V>
struct MaxPoolBackward {
  Pool2dShape s;
  const T* dy;
  const int32_t* which;
  float beta;
  T* dx;
  __device__ void operator()(int64_t i) const {
    const Place in = place<Index, V>(i, s.H, s.W, s.C);
    const math::Window p = math::pool_outputs(in.h, s.kernel, s.stride, s.pad, s.P()),
                       q = math::pool_outputs(in.w, s.kernel, s.stride, s.pad, s.Q());
    const auto here = static_cast<int32_t>(in.h * s.W + in.w);
    Floats<V> sum = scaled<V>(beta, dx + V * i);
    for (int64_t h = p.begin; h < p.end; ++h)
#pragma unroll 1  // else registers spill in f16, and there is one output in most pools
      for (int64_t w = q.begin; w < q.end; ++w) {
        const int64_t out = ((in.n * s.P() + h) * s.Q() + w) * s.C + in.c;
        const auto at = *reinterpret_cast<const Packed<V, int32_t>*>(which + out);
        const Floats<V> d = load<V>(dy + out);
        for (int v = 0; v < V; ++v)
          if (at.v[v] == here) sum.v[v] += d.v[v];
      }
    store(dx + V * i, sum);
  }
};

template <class Index, class T, int V>
struct AveragePool {
  AveragePool2dShape s;
  const T* x;
  float* y;
  __device__ void operator()(int64_t i) const {
    const Place out = place<Index, V>(i, s.P, s.Q, s.C);
    const math::Window wy = math::average_window(s, out.h, s.H, s.P),
                       wx = math::average_window(s, out.w, s.W, s.Q);
    const T* in = x + out.n * s.H * s.W * s.C + out.c;
    Floats<V> sum{};
    for (int64_t h = wy.begin; h < wy.end; ++h)
      for (int64_t w = wx.begin; w < wx.end; ++w) {
        const Floats<V> value = load<V>(in + (h * s.W + w) * s.C);
        for (int v = 0; v < V; ++v) sum.v[v] += value.v[v];
      }
    const float weight = math::average_weight(s, wy, wx);
    for (int v = 0; v < V; ++v) y[V * i + v] = sum.v[v] * weight;
  }
};

template <class Index, class T, int V>
struct AveragePoolBackward {
  AveragePool2dShape s;
  const float* dy;
  float beta;
  T* dx;
  __device__ void operator()(int64_t i) const {
    const Place in = place<Index, V>(i, s.H, s.W, s.C);
    const math::Window p = math::average_outputs(s, in.h, s.H, s.P),
                       q = math::average_outputs(s, in.w, s.W, s.Q);
    Floats<V> sum = scaled<V>(beta, dx + V * i);
#pragma unroll 1  // else registers spill, and there is one output in most pools
    for (int64_t h = p.begin; h < p.end; ++h)
#pragma unroll 1
      for (int64_t w = q.begin; w < q.end; ++w) {
        const float weight = math::average_weight(s, math::average_window(s, h, s.H, s.P),
                                                  math::average_window(s, w, s.W, s.Q));
        const Floats<V> d = load_channels<V>(dy + ((in.n * s.P + h) * s.Q + w) * s.C + in.c);
        for (int v = 0; v < V; ++v) sum.v[v] += d.v[v] * weight;
      }
    store(dx + V * i, sum);
  }
};

}  // namespace

void max_pool2d(Stream stream, const Pool2dShape& s, ConstValues x, Values y, int32_t* which) {
  const StreamAt at = stream;
  of_type(x.type, [&]<class T>(T) {
    each_place<MaxPool, T>(at, s.N * s.P() * s.Q() * s.C, s.C, s, x.as<T>(), y.as<T>(), which);
  });
}

void max_pool2d_backward(Stream stream, const Pool2dShape& s, ConstValues dy, const int32_t* which,
                         float beta, Values dx) {
  const StreamAt at = stream;
  of_type(dx.type, [&]<class T>(T) {
    each_place<MaxPoolBackward, T>(at, s.N * s.H * s.W * s.C, s.C, s, dy.as<T>(), which, beta,
                                   dx.as<T>());
  });
}

void average_pool2d(Stream stream, const AveragePool2dShape& s, ConstValues x, float* y) {
  const StreamAt at = stream;
  of_type(x.type, [&]<class T>(T) {
    each_place<AveragePool, T>(at, s.N * s.P * s.Q * s.C, s.C, s, x.as<T>(), y);
  });
}

void average_pool2d_backward(Stream stream, const AveragePool2dShape& s, const float* dy,
                             float beta, Values dx) {
  const StreamAt at = stream;
  of_type(dx.type, [&]<class T>(T) {
    each_place<AveragePoolBackward, T>(at, s.N * s.H * s.W * s.C, s.C, s, dy, beta, dx.as<T>());
  });
}

}  // namespace expunge::kernels::cuda
