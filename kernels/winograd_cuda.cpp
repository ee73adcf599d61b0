#include "kernels/winograd_cuda.h"

#include <algorithm>

#include "core/function_ref.h"
#include "kernels/matrix_product.h"

namespace expunge::kernels::cuda {
namespace {

// f(first image, their number)
void for_chunks(int64_t N, int64_t images, FunctionRef<void(int64_t, int64_t)> f) {
  for (int64_t n = 0; n < N; n += images) f(n, std::min(images, N - n));
}

// w: planes of weights are (36, K, C), or, reversed, (36, C, K).
struct Convolution {
  WinogradWork work;
  bool reversed;
  const float *in, *w;
  float beta;
  float* out;
};
void convolve(Stream stream, const Convolution& c) {
  const Conv2dShape& s = c.work.shape;
  const int64_t images = c.work.images;
  float *u = static_cast<float*>(c.work.workspace), *v = u + kWinogradPlanes * s.K * s.C,
        *m = v + kWinogradPlanes * winograd_inputs(s, images).plane();
  winograd_weights(stream, c.reversed ? s.C : s.K, c.reversed ? s.K : s.C, c.reversed, c.w, u);
  for_chunks(s.N, images, [&](int64_t first, int64_t count) {
    const TiledImages in = winograd_inputs(s, count), out = winograd_outputs(s, count);
    winograd_input(stream, in, c.in + winograd_inputs(s, first).size(), v);
    multiply(stream, {.m = in.tiles(),
                      .n = s.K,
                      .k = s.C,
                      .a = v,
                      .b = u,
                      .b_transposed = !c.reversed,
                      .c = m,
                      .count = kWinogradPlanes});
    winograd_output(stream, out, m, c.beta, c.out + winograd_outputs(s, first).size());
  });
}

}  // namespace

void winograd(Stream stream, const WinogradWork& work, const float* x, const float* w, float* y) {
  convolve(stream, {.work = work, .reversed = false, .in = x, .w = w, .beta = 0, .out = y});
}

void winograd_backward_data(Stream stream, const WinogradWork& work, const float* dy,
                            const float* w, float beta, float* dx) {
  const WinogradWork of_gradient{winograd_of_gradient(work.shape), work.images, work.workspace};
  convolve(stream,
           {.work = of_gradient, .reversed = true, .in = dy, .w = w, .beta = beta, .out = dx});
}

// dU = sum over tiles (A dy A^T)^T (B^T d B), plane by plane and part by part. Tiles of the
// images that are left go into as many parts, or, where they cannot be shared out so, into the
// first.
void winograd_backward_weights(Stream stream, const WinogradWork& work, const float* x,
                               const float* dy, float beta, float* dw) {
  const Conv2dShape& s = work.shape;
  const int64_t images = work.images;
  const int64_t parts = winograd_parts(s, images), panel = s.K * s.C;
  float *du = static_cast<float*>(work.workspace), *v = du + kWinogradPlanes * parts * panel,
        *g = v + kWinogradPlanes * winograd_inputs(s, images).plane();
  for_chunks(s.N, images, [&](int64_t first, int64_t count) {
    const TiledImages in = winograd_inputs(s, count), out = winograd_outputs(s, count);
    winograd_input(stream, in, x + winograd_inputs(s, first).size(), v);
    winograd_output_gradient(stream, out, dy + winograd_outputs(s, first).size(), g);
    const int64_t shared = in.tiles() % parts == 0 ? parts : 1;
    multiply(stream, {.m = s.K,
                      .n = s.C,
                      .k = in.tiles() / shared,
                      .a = g,
                      .b = v,
                      .a_transposed = true,
                      .beta = first == 0 ? 0.0f : 1.0f,
                      .c = du,
                      .count = kWinogradPlanes * shared,
                      .c_step = parts / shared * panel});
  });
  winograd_weight_gradient(stream, s.K, s.C, parts, du, beta, dw);
}

}  // namespace expunge::kernels::cuda
