#include "kernels/conv2d_tf32.h"

#include "core/check.h"
#include "kernels/reduce.h"

namespace expunge::kernels {

void conv2d_tf32_backward_weights(Stream stream, const Tf32Work& work, const float* x,
                                  const float* dy, float beta, float* dw) {
  EXPUNGE_CHECK(stream.device == Device::cuda && is_conv2d_tf32(work.shape),
                "gradient of weights in tf32: not on a GPU, or none of these");
  on_cuda(stream, [&] {
    cuda::conv2d_tf32_sums(stream, work.shape, work.parts, x, dy, work.sums);
    sum_rows(stream, work.parts, conv2d_tf32_weights(work.shape), work.sums, beta, dw);
  });
}

}  // namespace expunge::kernels
