#include "kernels/conv2d_image.h"

#include "core/check.h"
#include "core/tensor.h"

namespace expunge::kernels {
namespace {

void check(Stream stream, const Conv2dShape& s) {
  EXPUNGE_CHECK(stream.device == Device::cuda, "image convolution: not on a GPU");
  EXPUNGE_CHECK(is_conv2d_image(s),
                "image convolution: {} pixels of {} channels to {}, kernel {}x{}, stride {}, pad "
                "{}; expected less than 2^29 of 3 to a multiple of 32, 3x3, 1, 1",
                s.N * s.H * s.W, s.C, s.K, s.R, s.S, s.stride, s.pad);
}

}  // namespace

void conv2d_image(Stream stream, const Conv2dShape& s, const float* x, const float* w,
                  const float* bias, Values y) {
  check(stream, s);
  on_cuda(stream, [&] { cuda::conv2d_image(stream, s, x, w, bias, y); });
}

void conv2d_image_backward_weights(Stream stream, const Conv2dShape& whole, int64_t n0, int64_t n1,
                                   const float* x, ConstValues dy, float beta, float* dw) {
  check(stream, whole);
  Conv2dShape s = whole;
  s.N = n1 - n0;
  const int64_t pixels = s.H * s.W;
  on_cuda(stream, [&] {
    const auto bytes = static_cast<int64_t>(cuda::conv2d_image_workspace(s));
    const Tensor workspace({bytes}, DType::u8, stream);
    cuda::conv2d_image_backward_weights(stream, s, x + n0 * pixels * s.C,
                                        dy.from(n0 * pixels * s.K), beta, dw, workspace.bytes());
  });
}

}  // namespace expunge::kernels
