#include "kernels/conv2d.h"
#include "kernels/matrix_product.h"
#include "kernels/vendor_cudnn.h"
#include "kernels/winograd.h"

namespace expunge::kernels::cuda {
namespace {

using cudnn::ConvPass;
using cudnn::ConvPointers;

constexpr int64_t kWidest = 16;  // bytes of the widest access, which most engines want

bool is_product(const Conv2dShape& s) {
  return s.H == 1 && s.W == 1 && s.R == 1 && s.S == 1 && s.pad == 0;
}

int64_t alignment(const ConvPointers& at, DType type) {
  const auto bits = reinterpret_cast<uintptr_t>(at.x) | reinterpret_cast<uintptr_t>(at.w) |
                    reinterpret_cast<uintptr_t>(at.y);
  return bits % kWidest == 0 ? kWidest : static_cast<int64_t>(size_of(type));
}

// f32 data in 16-bit training: what was left out of it, to be exact.
Precision precision_of(DType type) {
  if (type == DType::bf16) return Precision::bf16;
  if (type == DType::f16) return Precision::fp16;
  return precision() == Precision::tf32 ? Precision::tf32 : Precision::fp32;
}

struct Given {
  DType type;  // of x
  float beta;
  bool wide = false;
};
void run(Stream stream, ConvPass pass, const Conv2dShape& s, const Given& of,
         const ConvPointers& at) {
  const auto [type, beta, wide] = of;
  const Precision precision = precision_of(type);
  const bool either = precision == Precision::fp32 && winograd_applies(s);
  Vendor::of(stream).convolve({.pass = pass,
                               .shape = s,
                               .precision = precision,
                               .accumulates = beta != 0.0f,
                               .alignment = alignment(at, type),
                               .algo = either ? conv_algo() : ConvAlgo::direct,
                               .wide = wide},
                              at);
}

}  // namespace

void conv2d(Stream stream, const Conv2dShape& s, ConstValues x, ConstValues w, const float* bias,
            Values y) {
  if (is_product(s))
    multiply(stream, {.m = s.N,
                      .n = s.K,
                      .k = s.C,
                      .a = x.f32(),
                      .b = w.f32(),
                      .b_transposed = true,
                      .c = y.f32()});
  else
    run(stream, ConvPass::forward, s, {x.type, 0.0f}, {x.at, w.at, y.at});
  if (bias != nullptr) add_bias(stream, s.N * s.P() * s.Q(), s.K, bias, y);
}

void conv2d_backward_data(Stream stream, const Conv2dShape& s, ConstValues dy, ConstValues w,
                          float beta, Values dx) {
  if (is_product(s))
    multiply(
        stream,
        {.m = s.N, .n = s.C, .k = s.K, .a = dy.f32(), .b = w.f32(), .beta = beta, .c = dx.f32()});
  else
    run(stream, ConvPass::data, s, {dy.type, beta}, {dx.at, w.at, dy.at});
}

void conv2d_backward_weights(Stream stream, const Conv2dShape& whole, int64_t n0, int64_t n1,
                             ConstValues all_x, ConstValues all_dy, float beta, Values dw) {
  Conv2dShape s = whole;
  s.N = n1 - n0;
  const ConstValues x = all_x.from(n0 * s.H * s.W * s.C),
                    dy = all_dy.from(n0 * s.P() * s.Q() * s.K);
  if (is_product(s))
    multiply(stream, {.m = s.K,
                      .n = s.C,
                      .k = s.N,
                      .a = dy.f32(),
                      .b = x.f32(),
                      .a_transposed = true,
                      .beta = beta,
                      .c = dw.f32()});
  else
    run(stream, ConvPass::weights, s, {x.type, beta, dw.type != x.type}, {x.at, dw.at, dy.at});
}

}  // namespace expunge::kernels::cuda
