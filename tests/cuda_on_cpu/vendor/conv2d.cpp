#include "kernels/conv2d.h"

#include <cstring>

#include "core/tensor.h"
#include "cuda_on_cpu/streams.h"
#include "kernels/cast.h"
#include "kernels/conv2d_taps.h"
#include "kernels/conv_algo.h"
#include "kernels/precision.h"
#include "kernels/winograd_cuda.h"

// In place of cuDNN and cuBLAS (kernels/conv2d_cudnn.cpp): the CPU's own convolutions, on copies,
// as work that the stream gets to. Of the ways that are our own (kernels/own_plan_cudnn.cpp) it has
// Winograd with --conv-algo winograd, and gradients of weights by taps.
namespace expunge::kernels::cuda {
namespace {

// As floats, whatever the type.
Tensor fetched(ConstValues from, int64_t size) {
  const Tensor here({size}, from.type), floats({size});
  std::memcpy(here.bytes(), from.at, static_cast<size_t>(size) * size_of(from.type));
  kernels::cast({}, {size, 1, 1}, here.values(), 0.0f, floats.data());
  return floats;
}

void put(const Tensor& floats, Values to) {
  const Tensor here(floats.shape(), to.type);
  kernels::cast({}, {floats.size(), 1, 1}, floats.data(), 0.0f, here.values());
  std::memcpy(to.at, here.bytes(), static_cast<size_t>(floats.size()) * size_of(to.type));
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
Tensor before(float beta, ConstValues from, int64_t size) {
  return beta == 0.0f ? Tensor({size}) : fetched(from, size);
}

bool is_winograd(const Conv2dShape& s, DType type) {
  return conv_algo() == ConvAlgo::winograd && type == DType::f32 && s.N > 0 &&
         precision() != Precision::tf32 && conv_algo_for(s) == ConvAlgo::winograd;
}
int64_t images_at_once(const Conv2dShape& s) {
  return (s.N + 1) / 2;
}

template <class Work>
void queue(Stream stream, Work work) {
  cuda_on_cpu::enqueue(static_cast<CUstream_st*>(stream.cuda), work);
}

}  // namespace

void conv2d(Stream stream, const Conv2dShape& s, ConstValues x, ConstValues w, const float* bias,
            Values y) {
  if (is_winograd(s, y.type)) {
    const int64_t images = images_at_once(s);
    const Tensor memory({winograd_workspace(s, images)}, DType::u8, stream);
    winograd(stream, {s, images, memory.bytes()}, x.f32(), w.f32(), y.f32());
  } else {
    queue(stream, [=] {
      const Tensor out({y_size(s)});
      kernels::conv2d({}, s, fetched(x, x_size(s)).data(), fetched(w, w_size(s)).data(), nullptr,
                      out.data());
      put(out, y);
    });
  }
  if (bias != nullptr) add_bias(stream, s.N * s.P() * s.Q(), s.K, bias, y);
}

void conv2d_backward_data(Stream stream, const Conv2dShape& s, ConstValues dy, ConstValues w,
                          float beta, Values dx) {
  if (is_winograd(s, dx.type)) {
    const int64_t images = images_at_once(s);
    const Tensor memory({winograd_backward_data_workspace(s, images)}, DType::u8, stream);
    return winograd_backward_data(stream, {s, images, memory.bytes()}, dy.f32(), w.f32(), beta,
                                  dx.f32());
  }
  queue(stream, [=] {
    const Tensor out = before(beta, dx, x_size(s));
    kernels::conv2d_backward_data({}, s, fetched(dy, y_size(s)).data(),
                                  fetched(w, w_size(s)).data(), beta, out.data());
    put(out, dx);
  });
}

void conv2d_backward_weights(Stream stream, const Conv2dShape& s, int64_t n0, int64_t n1,
                             ConstValues x, ConstValues dy, float beta, Values dw) {
  Conv2dShape part = s;
  part.N = n1 - n0;
  if (is_winograd(part, x.type)) {
    const int64_t images = images_at_once(part);
    const Tensor memory({winograd_backward_weights_workspace(part, images)}, DType::u8, stream);
    return winograd_backward_weights(stream, {part, images, memory.bytes()},
                                     x.from(n0 * s.H * s.W * s.C).f32(),
                                     dy.from(n0 * s.P() * s.Q() * s.K).f32(), beta, dw.f32());
  }
  const bool wide = dw.type != x.type, tf32 = precision() == Precision::tf32 && !wide;
  if ((wide || (tf32 && dw.type == DType::f32)) && part.N > 0 && is_conv2d_taps(part)) {
    const int64_t parts = (conv2d_taps_parts(part) + 1) / 2;
    const Tensor sums({parts, conv2d_taps_weights(part)}, DType::f32, stream);
    return kernels::conv2d_taps_backward_weights(stream, {part, parts, sums.data()},
                                                 x.from(n0 * s.H * s.W * s.C),
                                                 dy.from(n0 * s.P() * s.Q() * s.K), beta, dw.f32());
  }
  queue(stream, [=] {
    const Tensor in = fetched(x, x_size(s)), of_y = fetched(dy, y_size(s)),
                 out = before(beta, dw, w_size(s));
    if (!wide) {
      kernels::conv2d_backward_weights({}, s, n0, n1, in.data(), of_y.data(), beta, out.data());
    } else {  // cuDNN gives it in 16 bits, where it may overflow
      const Tensor sum(out.shape()), in16(out.shape(), x.type);
      kernels::conv2d_backward_weights({}, s, n0, n1, in.data(), of_y.data(), 0.0f, sum.data());
      kernels::cast({}, {sum.size(), 1, 1}, sum.values(), 0.0f, in16.values());
      kernels::cast({}, {sum.size(), 1, 1}, in16.values(), beta, out.values());
    }
    put(out, dw);
  });
}

}  // namespace expunge::kernels::cuda
