#include "kernels/pool2d.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/pool2d_math.h"

namespace expunge::kernels {
namespace {

using math::average_weight;
using math::average_window;
using math::pool_window;
using math::Window;

// Takes x where it is larger than what was found so far, or no number. Without branches and
// overlap, so that it becomes vector instructions.
void keep_larger(int64_t C, int32_t here, const float* __restrict x, float* __restrict best,
                 int32_t* __restrict at) {
  for (int64_t c = 0; c < C; ++c) {
    const bool better = math::pool_better(x[c], best[c]);
    best[c] = better ? x[c] : best[c];
    at[c] = better ? here : at[c];
  }
}

void scale(int64_t n, float beta, float* x) {
  if (beta == 0.0f)
    std::fill_n(x, n, 0.0f);
  else
    for (int64_t i = 0; i < n; ++i) x[i] *= beta;
}

void max_pool(const Pool2dShape& s, const float* x, float* y, int32_t* which) {
  const int64_t P = s.P(), Q = s.Q();
  parallel_for(s.N, [=](int64_t n) {
    for (int64_t p = 0; p < P; ++p)
      for (int64_t q = 0; q < Q; ++q) {
        const Window wy = pool_window(p, s.kernel, s.stride, s.pad, s.H);
        const Window wx = pool_window(q, s.kernel, s.stride, s.pad, s.W);
        float* best = y + ((n * P + p) * Q + q) * s.C;
        int32_t* at = which + ((n * P + p) * Q + q) * s.C;
        for (int64_t h = wy.begin; h < wy.end; ++h)
          for (int64_t w = wx.begin; w < wx.end; ++w) {
            const float* in = x + ((n * s.H + h) * s.W + w) * s.C;
            const int32_t here = static_cast<int32_t>(h * s.W + w);
            if (h == wy.begin && w == wx.begin) {
              std::copy_n(in, s.C, best);
              std::fill_n(at, s.C, here);
            } else {
              keep_larger(s.C, here, in, best, at);
            }
          }
      }
  });
}

void max_pool_backward(const Pool2dShape& s, const float* dy, const int32_t* which, float beta,
                       float* dx) {
  const int64_t outputs = s.P() * s.Q(), image = s.H * s.W * s.C;
  parallel_for(s.N, [=](int64_t n) {
    float* into = dx + n * image;
    scale(image, beta, into);
    for (int64_t p = 0; p < outputs; ++p)
      for (int64_t c = 0; c < s.C; ++c) {
        const int64_t i = (n * outputs + p) * s.C + c;
        into[which[i] * s.C + c] += dy[i];
      }
  });
}

void average_pool(const AveragePool2dShape& s, const float* x, float* y) {
  parallel_for(s.N, [=](int64_t n) {
    for (int64_t p = 0; p < s.P; ++p)
      for (int64_t q = 0; q < s.Q; ++q) {
        const Window wy = average_window(s, p, s.H, s.P), wx = average_window(s, q, s.W, s.Q);
        float* out = y + ((n * s.P + p) * s.Q + q) * s.C;
        std::fill_n(out, s.C, 0.0f);
        for (int64_t h = wy.begin; h < wy.end; ++h)
          for (int64_t w = wx.begin; w < wx.end; ++w)
            for (int64_t c = 0; c < s.C; ++c) out[c] += x[((n * s.H + h) * s.W + w) * s.C + c];
        const float weight = average_weight(s, wy, wx);
        for (int64_t c = 0; c < s.C; ++c) out[c] *= weight;
      }
  });
}

void average_pool_backward(const AveragePool2dShape& s, const float* dy, float beta, float* dx) {
  parallel_for(s.N, [=](int64_t n) {
    scale(s.H * s.W * s.C, beta, dx + n * s.H * s.W * s.C);
    for (int64_t p = 0; p < s.P; ++p)
      for (int64_t q = 0; q < s.Q; ++q) {
        const Window wy = average_window(s, p, s.H, s.P), wx = average_window(s, q, s.W, s.Q);
        const float weight = average_weight(s, wy, wx);
        const float* d = dy + ((n * s.P + p) * s.Q + q) * s.C;
        for (int64_t h = wy.begin; h < wy.end; ++h)
          for (int64_t w = wx.begin; w < wx.end; ++w)
            for (int64_t c = 0; c < s.C; ++c)
              dx[((n * s.H + h) * s.W + w) * s.C + c] += d[c] * weight;
      }
  });
}

}  // namespace

void max_pool2d(Stream stream, const Pool2dShape& s, ConstValues x, Values y, int32_t* which) {
  dispatch(
      stream, [&] { max_pool(s, x.f32(), y.f32(), which); },
      [&] { cuda::max_pool2d(stream, s, x, y, which); });
}

void max_pool2d_backward(Stream stream, const Pool2dShape& s, ConstValues dy, const int32_t* which,
                         float beta, Values dx) {
  dispatch(
      stream, [&] { max_pool_backward(s, dy.f32(), which, beta, dx.f32()); },
      [&] { cuda::max_pool2d_backward(stream, s, dy, which, beta, dx); });
}

void average_pool2d(Stream stream, const AveragePool2dShape& s, ConstValues x, float* y) {
  dispatch(
      stream, [&] { average_pool(s, x.f32(), y); }, [&] { cuda::average_pool2d(stream, s, x, y); });
}

void average_pool2d_backward(Stream stream, const AveragePool2dShape& s, const float* dy,
                             float beta, Values dx) {
  dispatch(
      stream, [&] { average_pool_backward(s, dy, beta, dx.f32()); },
      [&] { cuda::average_pool2d_backward(stream, s, dy, beta, dx); });
}

}  // namespace expunge::kernels
