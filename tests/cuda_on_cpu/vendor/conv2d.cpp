#include "kernels/conv2d.h"

#include "core/memory_cuda.h"
#include "core/tensor.h"

// In place of cuDNN and cuBLAS (kernels/conv2d_cudnn.cpp): the CPU's own convolutions, on copies.
// They come in the stream's order, since a copy to the host waits for what was queued before.
namespace expunge::kernels::cuda {
namespace {

Tensor fetched(Stream stream, const float* from, int64_t size) {
  const Tensor here({size});
  cuda_download(stream, here.bytes(), from, static_cast<size_t>(size) * sizeof(float));
  return here;
}

void send(Stream stream, const Tensor& from, float* to) {
  cuda_upload(stream, to, from.bytes(), static_cast<size_t>(from.size()) * sizeof(float));
}

int64_t x_size(const Conv2dShape& s) {
  return s.N * s.H * s.W * s.C;
}
int64_t w_size(const Conv2dShape& s) {
  return s.K * s.R * s.S * s.C;
}
int64_t y_size(const Conv2dShape& s) {
  return s.N * s.P() * s.Q() * s.K;
}

// With beta 0 there may be anything, and nothing is read.
Tensor before(Stream stream, float beta, const float* from, int64_t size) {
  return beta == 0.0f ? Tensor({size}) : fetched(stream, from, size);
}

}  // namespace

void conv2d(Stream stream, const Conv2dShape& s, const float* x, const float* w, const float* bias,
            float* y) {
  const Tensor out({y_size(s)});
  kernels::conv2d({}, s, fetched(stream, x, x_size(s)).data(), fetched(stream, w, w_size(s)).data(),
                  nullptr, out.data());
  send(stream, out, y);
  if (bias != nullptr) add_bias(stream, s.N * s.P() * s.Q(), s.K, bias, y);
}

void conv2d_backward_data(Stream stream, const Conv2dShape& s, const float* dy, const float* w,
                          float beta, float* dx) {
  const Tensor out = before(stream, beta, dx, x_size(s));
  kernels::conv2d_backward_data({}, s, fetched(stream, dy, y_size(s)).data(),
                                fetched(stream, w, w_size(s)).data(), beta, out.data());
  send(stream, out, dx);
}

void conv2d_backward_weights(Stream stream, const Conv2dShape& s, int64_t n0, int64_t n1,
                             const float* x, const float* dy, float beta, float* dw) {
  const Tensor out = before(stream, beta, dw, w_size(s));
  kernels::conv2d_backward_weights({}, s, n0, n1, fetched(stream, x, x_size(s)).data(),
                                   fetched(stream, dy, y_size(s)).data(), beta, out.data());
  send(stream, out, dw);
}

}  // namespace expunge::kernels::cuda
