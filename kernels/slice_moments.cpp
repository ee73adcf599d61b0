#include "kernels/slice_moments.h"

#include <limits>
#include <vector>

#include "core/parallel.h"

namespace expunge::kernels {

namespace {
constexpr float kUnknown = std::numeric_limits<float>::infinity();
}

math::SliceRule slice_rule(ImageRange images, int64_t k) {
  const auto B = static_cast<double>(images.batch), W = static_cast<double>(images.begin),
             n = static_cast<double>(images.end - images.begin);
  math::SliceRule rule{.slice = static_cast<float>(B / n),
                       .before = 0,
                       .error = 0,
                       .start = k > 1 ? 0.0f : kUnknown};
  if (images.begin == 0) return rule;
  rule.before = static_cast<float>(B / W);
  rule.error = static_cast<float>(n * W / ((W + n) * static_cast<double>(k - 1) * B));
  return rule;
}

void slice_moments(Stream, int64_t n, const math::SliceRule& rule, const float* c, float* sum,
                   float* squared_error) {
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    const math::SliceRule r = rule;
    const float* __restrict from = c;
    float* __restrict t = sum, * __restrict e = squared_error;
    for (int64_t i = begin; i < end; ++i) math::slice_moments(r, from[i], t[i], e[i]);
  });
}

void product_error(Stream, const RowProduct& p, const float* mean, float* squared_error) {
  const auto N = static_cast<double>(p.rows);
  parallel_for(p.out, [&](int64_t o) {
    std::vector<double> squares(static_cast<size_t>(p.in));
    for (int64_t i = 0; i < p.rows; ++i) {
      const double dy = double{p.dy[i * p.out + o]}, dy2 = dy * dy;
      if (dy2 == 0) continue;
      const float* x = p.x == nullptr ? nullptr : p.x + i * p.in;
      for (int64_t c = 0; c < p.in; ++c) {
        const double v = x == nullptr ? 1.0 : double{x[c]};
        squares[static_cast<size_t>(c)] += dy2 * (v * v);
      }
    }
    for (int64_t c = 0; c < p.in; ++c) {
      const double m = double{mean[o * p.in + c]};
      const double spread = N * squares[static_cast<size_t>(c)] - m * m;
      squared_error[o * p.in + c] =
          p.rows > 1 ? static_cast<float>(spread > 0 ? spread / (N - 1) : 0.0) : kUnknown;
    }
  });
}

}  // namespace expunge::kernels
