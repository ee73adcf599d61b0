#include "kernels/conv2d_taps.h"

#include "core/check.h"
#include "kernels/reduce.h"

namespace expunge::kernels {

void conv2d_taps_backward_weights(Stream stream, const TapsWork& work, ConstValues x,
                                  ConstValues dy, float beta, float* dw) {
  EXPUNGE_CHECK(stream.device == Device::cuda && is_conv2d_taps(work.shape) && x.type == dy.type,
                "gradient of weights by taps: not on a GPU, or none of these");
  on_cuda(stream, [&] {
    cuda::conv2d_taps_sums(stream, work, x, dy);
    sum_rows(stream, work.parts, conv2d_taps_weights(work.shape), work.sums, beta, dw);
  });
}

}  // namespace expunge::kernels
