#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/step_scalars.h"

namespace expunge::kernels {

// y = F(x); F is a struct of elementwise_math.h
template <class F>
void elementwise(Stream stream, int64_t n, const float* x, float* y);

// dx = beta dx + dy F'(x), from x and y = F(x)
template <class F>
void elementwise_backward(Stream stream, int64_t n, const float* x, const float* y, const float* dy,
                          float beta, float* dx);

// y = a + b
void add(Stream stream, int64_t n, const float* a, const float* b, float* y);

// y = beta y + alpha x
void axpby(Stream stream, int64_t n, float alpha, const float* x, float beta, float* y);

// The gradient of a number f(x) by x, g being the gradient by f, where the stream works:
//   y = beta y + g[0] / divisor x,        of sum x^2 / (2 divisor), or of any f whose slope is x
//   y = beta y + g[0] sign(x)             of sum |x|; sign(0) = 0
void chain(Stream stream, int64_t n, const float* g, float divisor, const float* x, float beta,
           float* y);
void chain_sign(Stream stream, int64_t n, const float* g, const float* x, float beta, float* y);

// Dropout (Srivastava et al. 2014), inverted: y = beta y + x keep_i / (1 - p), keep_i = [u_i >= p]
// with u_i drawn by Philox from (seed, step, pass, layer, i). The gradient is the same map applied
// to dy: no mask is stored.
struct DropoutKey {
  StepScalars scalars;
  int32_t layer;
  const StepScalars* there = nullptr;  // on a GPU: read instead, at every launch
};
void dropout(Stream stream, int64_t n, float p, DropoutKey key, const float* x, float beta,
             float* y);

// lots (n): uniform in [0, 1), drawn by (seed, step, first + i). The gate `random` sorts by them.
void draw_lots(Stream stream, int64_t n, uint64_t seed, int64_t step, int64_t first, float* lots);

// The same on a GPU (elementwise.cu); the functions above go there where the stream says so.
namespace cuda {

template <class F>
void elementwise(Stream stream, int64_t n, const float* x, float* y);
template <class F>
void elementwise_backward(Stream stream, int64_t n, const float* x, const float* y, const float* dy,
                          float beta, float* dx);
void add(Stream stream, int64_t n, const float* a, const float* b, float* y);
void axpby(Stream stream, int64_t n, float alpha, const float* x, float beta, float* y);
void dropout(Stream stream, int64_t n, float p, DropoutKey key, const float* x, float beta,
             float* y);
void chain(Stream stream, int64_t n, const float* g, float divisor, const float* x, float beta,
           float* y);
void chain_sign(Stream stream, int64_t n, const float* g, const float* x, float beta, float* y);
void draw_lots(Stream stream, int64_t n, uint64_t seed, int64_t step, int64_t first, float* lots);

}  // namespace cuda

}  // namespace expunge::kernels
