#include "kernels/slice_moments.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"

namespace expunge::kernels {

namespace {

constexpr float kUnknown = std::numeric_limits<float>::infinity();
constexpr int64_t kBlock = 1024;  // elements whose sums stay in the cache

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

void slice_moments_range(int64_t n, const math::SliceRule& rule, const float* __restrict c,
                         float* __restrict sum, float* __restrict squared_error) {
  const math::SliceRule r = rule;
  for (int64_t i = 0; i < n; ++i) math::slice_moments(r, c[i], sum[i], squared_error[i]);
}

}  // namespace

math::SliceRules slice_rules(const SliceRun& run) {
  EXPUNGE_CHECK(run.count > 0 && run.count <= kSlicesTogether, "slice rules: {} slices at once",
                run.count);
  math::SliceRules rules{.count = static_cast<int>(run.count)};
  for (int j = 0; j < rules.count; ++j) rules.of[j] = slice_rule(run.images(j), run.k);
  return rules;
}

void slice_moments(Stream stream, int64_t n, const math::SliceRules& rules, const float* c,
                   int64_t stride, float* sum, float* squared_error) {
  const auto on_cpu = [&] {
    parallel_ranges(n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += kBlock)
        for (int j = 0; j < rules.count; ++j)
          slice_moments_range(std::min(kBlock, end - i), rules.of[j], c + j * stride + i, sum + i,
                              squared_error + i);
    });
  };
  dispatch(stream, on_cpu,
           [&] { cuda::slice_moments(stream, n, rules, c, stride, sum, squared_error); });
}

void product_error(Stream stream, const RowProduct& p, const float* mean, float* squared_error) {
  const auto on_cpu = [&] {
    parallel_for(p.out, [&](int64_t o) {
      std::vector<double> squares(static_cast<size_t>(p.in));
      for (int64_t i = 0; i < p.rows; ++i) {
        const float* x = p.x == nullptr ? nullptr : p.x + i * p.in;
        for (int64_t c = 0; c < p.in; ++c)
          squares[static_cast<size_t>(c)] +=
              math::squared_product(p.dy[i * p.out + o], x == nullptr ? 1.0f : x[c]);
      }
      for (int64_t c = 0; c < p.in; ++c)
        squared_error[o * p.in + c] =
            math::product_error(squares[static_cast<size_t>(c)], mean[o * p.in + c], p.rows);
    });
  };
  dispatch(stream, on_cpu, [&] { cuda::product_error(stream, p, mean, squared_error); });
}

}  // namespace expunge::kernels
