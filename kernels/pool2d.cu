#include "kernels/each.cuh"
#include "kernels/pool2d.h"
#include "kernels/pool2d_math.h"

namespace expunge::kernels::cuda {
namespace {

// Element i of (N, H, W, C).
struct Place {
  int64_t n, h, w, c;
};
template <class Index>
__device__ Place place(int64_t element, int64_t H, int64_t W, int64_t C) {
  auto i = static_cast<Index>(element);
  const Index channels = static_cast<Index>(C), width = static_cast<Index>(W),
              height = static_cast<Index>(H);
  const Index c = i % channels, w = (i /= channels) % width, h = (i /= width) % height;
  return {static_cast<int64_t>(i / height), static_cast<int64_t>(h), static_cast<int64_t>(w),
          static_cast<int64_t>(c)};
}

// body<Index> for n elements, with 32-bit indices where they do: a division of 64 bits costs ten
// times as much.
template <template <class> class Body, class... A>
void each_place(Stream stream, int64_t n, const A&... arguments) {
  if (n >> 32 == 0)
    each(stream, n, Body<uint32_t>{arguments...});
  else
    each(stream, n, Body<uint64_t>{arguments...});
}

// Of an output.
template <class Index>
struct MaxPool {
  Pool2dShape s;
  const float* x;
  float* y;
  int32_t* which;
  __device__ void operator()(int64_t i) const {
    const Place out = place<Index>(i, s.P(), s.Q(), s.C);
    const math::Window wy = math::pool_window(out.h, s.kernel, s.stride, s.pad, s.H),
                       wx = math::pool_window(out.w, s.kernel, s.stride, s.pad, s.W);
    const float* in = x + out.n * s.H * s.W * s.C + out.c;
    int64_t at = wy.begin * s.W + wx.begin;
    float best = in[at * s.C];
    for (int64_t h = wy.begin; h < wy.end; ++h)
      for (int64_t w = wx.begin; w < wx.end; ++w)
        if (const float value = in[(h * s.W + w) * s.C]; math::pool_better(value, best))
          best = value, at = h * s.W + w;
    y[i] = best;
    which[i] = static_cast<int32_t>(at);
  }
};

// Of an input: what comes back from the outputs that it was the largest of, in their order.
template <class Index>
struct MaxPoolBackward {
  Pool2dShape s;
  const float* dy;
  const int32_t* which;
  float beta;
  float* dx;
  __device__ void operator()(int64_t i) const {
    const Place in = place<Index>(i, s.H, s.W, s.C);
    const math::Window p = math::pool_outputs(in.h, s.kernel, s.stride, s.pad, s.P()),
                       q = math::pool_outputs(in.w, s.kernel, s.stride, s.pad, s.Q());
    float sum = beta == 0.0f ? 0.0f : beta * dx[i];
    for (int64_t h = p.begin; h < p.end; ++h)
      for (int64_t w = q.begin; w < q.end; ++w) {
        const int64_t out = ((in.n * s.P() + h) * s.Q() + w) * s.C + in.c;
        if (which[out] == in.h * s.W + in.w) sum += dy[out];
      }
    dx[i] = sum;
  }
};

template <class Index>
struct AveragePool {
  AveragePool2dShape s;
  const float* x;
  float* y;
  __device__ void operator()(int64_t i) const {
    const Place out = place<Index>(i, s.P, s.Q, s.C);
    const math::Window wy = math::average_window(s, out.h, s.H, s.P),
                       wx = math::average_window(s, out.w, s.W, s.Q);
    const float* in = x + out.n * s.H * s.W * s.C + out.c;
    float sum = 0;
    for (int64_t h = wy.begin; h < wy.end; ++h)
      for (int64_t w = wx.begin; w < wx.end; ++w) sum += in[(h * s.W + w) * s.C];
    y[i] = sum * math::average_weight(s, wy, wx);
  }
};

template <class Index>
struct AveragePoolBackward {
  AveragePool2dShape s;
  const float* dy;
  float beta;
  float* dx;
  __device__ void operator()(int64_t i) const {
    const Place in = place<Index>(i, s.H, s.W, s.C);
    const math::Window p = math::average_outputs(s, in.h, s.H, s.P),
                       q = math::average_outputs(s, in.w, s.W, s.Q);
    float sum = beta == 0.0f ? 0.0f : beta * dx[i];
    for (int64_t h = p.begin; h < p.end; ++h)
      for (int64_t w = q.begin; w < q.end; ++w)
        sum += dy[((in.n * s.P + h) * s.Q + w) * s.C + in.c] *
               math::average_weight(s, math::average_window(s, h, s.H, s.P),
                                    math::average_window(s, w, s.W, s.Q));
    dx[i] = sum;
  }
};

}  // namespace

void max_pool2d(Stream stream, const Pool2dShape& s, const float* x, float* y, int32_t* which) {
  each_place<MaxPool>(stream, s.N * s.P() * s.Q() * s.C, s, x, y, which);
}

void max_pool2d_backward(Stream stream, const Pool2dShape& s, const float* dy, const int32_t* which,
                         float beta, float* dx) {
  each_place<MaxPoolBackward>(stream, s.N * s.H * s.W * s.C, s, dy, which, beta, dx);
}

void average_pool2d(Stream stream, const AveragePool2dShape& s, const float* x, float* y) {
  each_place<AveragePool>(stream, s.N * s.P * s.Q * s.C, s, x, y);
}

void average_pool2d_backward(Stream stream, const AveragePool2dShape& s, const float* dy,
                             float beta, float* dx) {
  each_place<AveragePoolBackward>(stream, s.N * s.H * s.W * s.C, s, dy, beta, dx);
}

}  // namespace expunge::kernels::cuda
