#include "kernels/moments.h"

#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/moments_math.h"

namespace expunge::kernels {
namespace {

float cpu_prior_variance(int64_t n, const float* mean, const float* squared_error) {
  std::vector<double> sums(static_cast<size_t>((n + kElementChunk - 1) / kElementChunk));
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += math::prior_term(mean[i], squared_error[i]);
    sums[static_cast<size_t>(begin / kElementChunk)] = sum;
  });
  double sum = 0;
  for (double s : sums) sum += s;
  return math::prior_variance(sum, n);
}

}  // namespace

void take_in(Stream stream, int64_t n, const StatisticsRule& rule, const float* g,
             const StatisticsState& s, const MomentsOut& out, const float* losses) {
  EXPUNGE_CHECK(rule.estimator == Estimator::welford || rule.estimator == Estimator::ema,
                "take_in: estimator {}", static_cast<int>(rule.estimator));
  const auto on_cpu = [&] {
    if (!math::takes_step(losses, kStepLosses)) return;
    parallel_ranges(n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) math::take_in(rule, g, s, out, i);
    });
  };
  dispatch(stream, on_cpu, [&] { cuda::take_in(stream, n, rule, g, s, out, losses); });
}

void prior_variance(Stream stream, int64_t n, const float* mean, const float* squared_error,
                    float* out) {
  const auto on_cuda = [&] {
    const auto floats = static_cast<int64_t>(cuda::prior_workspace(n) / sizeof(float));
    const Tensor parts(Shape{floats}, DType::f32, stream);
    cuda::prior_variance(stream, n, mean, squared_error, out, parts.bytes());
  };
  dispatch(
      stream, [&] { *out = cpu_prior_variance(n, mean, squared_error); }, on_cuda);
}

}  // namespace expunge::kernels
