#include "kernels/conv2d.h"

#include "core/memory_cuda.h"
#include "core/tensor.h"
#include "kernels/cast.h"

// In place of cuDNN and cuBLAS (kernels/conv2d_cudnn.cpp): the CPU's own convolutions, on copies.
// They come in the stream's order, since a copy to the host waits for what was queued before.
namespace expunge::kernels::cuda {
namespace {

// As floats, whatever the type.
Tensor fetched(Stream stream, ConstValues from, int64_t size) {
  const Tensor here({size}, from.type), floats({size});
  cuda_download(stream, here.bytes(), from.at, static_cast<size_t>(size) * size_of(from.type));
  kernels::cast({}, {size, 1, 1}, here.values(), 0.0f, floats.data());
  return floats;
}

void send(Stream stream, const Tensor& floats, Values to) {
  const Tensor here(floats.shape(), to.type);
  kernels::cast({}, {floats.size(), 1, 1}, floats.data(), 0.0f, here.values());
  cuda_upload(stream, to.at, here.bytes(), static_cast<size_t>(floats.size()) * size_of(to.type));
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
Tensor before(Stream stream, float beta, ConstValues from, int64_t size) {
  return beta == 0.0f ? Tensor({size}) : fetched(stream, from, size);
}

}  // namespace

void conv2d(Stream stream, const Conv2dShape& s, ConstValues x, ConstValues w, const float* bias,
            Values y) {
  const Tensor out({y_size(s)});
  kernels::conv2d({}, s, fetched(stream, x, x_size(s)).data(), fetched(stream, w, w_size(s)).data(),
                  nullptr, out.data());
  send(stream, out, y);
  if (bias != nullptr) add_bias(stream, s.N * s.P() * s.Q(), s.K, bias, y);
}

void conv2d_backward_data(Stream stream, const Conv2dShape& s, ConstValues dy, ConstValues w,
                          float beta, Values dx) {
  const Tensor out = before(stream, beta, dx, x_size(s));
  kernels::conv2d_backward_data({}, s, fetched(stream, dy, y_size(s)).data(),
                                fetched(stream, w, w_size(s)).data(), beta, out.data());
  send(stream, out, dx);
}

void conv2d_backward_weights(Stream stream, const Conv2dShape& s, int64_t n0, int64_t n1,
                             ConstValues x, ConstValues dy, float beta, Values dw) {
  const Tensor out = before(stream, beta, dw, w_size(s));
  kernels::conv2d_backward_weights({}, s, n0, n1, fetched(stream, x, x_size(s)).data(),
                                   fetched(stream, dy, y_size(s)).data(), beta, out.data());
  send(stream, out, dw);
}

}  // namespace expunge::kernels::cuda
