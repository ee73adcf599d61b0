#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

// The formulas of update_kernels.cuh once more, in double and with the library's erf. Constants
// that the kernels round to float are rounded here too: 1 - 0.999f is not 0.001.
namespace expunge::gpu_bench {

inline double half_reference(double z) {
  return 0.5 * std::erf(z / std::sqrt(2.0));
}

// The gate's phi is as exact as the float erf (4e-7) and its argument: nearer to q than this,
// either side of it is right.
inline constexpr double kPhiTolerance = 2e-6;

struct Parameter {
  double v_f, v_r, p, m, s;
};

// Gate none 0, conjunction 1, prob 2, focus 3; phi is returned where the gate needs it.
inline double phi_reference(const double paper[2], double g_f, double g_r, Parameter& x) {
  x.v_f = paper[0] * g_f * g_f + paper[1] * x.v_f;
  x.v_r = paper[0] * g_r * g_r + paper[1] * x.v_r;
  return 0.5 + 2.0 * half_reference(g_f / std::sqrt(x.v_f + 1e-8)) *
                   half_reference(g_r / std::sqrt(x.v_r + 1e-8));
}

template <class AdamRule>
void adam_reference(const AdamRule& r, float beta, double w, double g_f, double g_r, Parameter& x) {
  const double g = w * (beta * g_r + double{1.0f - beta} * g_f);
  x.m = double{r.beta1} * x.m + double{1.0f - r.beta1} * g;
  x.s = double{r.beta2} * x.s + double{1.0f - r.beta2} * g * g;
  x.p -= double{r.lr} / r.bias1 * (x.m / (std::sqrt(x.s / r.bias2) + r.eps));
}

struct Moments {
  double mean, m2;
};
template <class Get>  // get(j): sample j
Moments moments_reference(int count, Get get) {
  double sum = 0.0, m2 = 0.0;
  for (int j = 0; j < count; ++j) sum += get(j);
  const double mean = sum / count;
  for (int j = 0; j < count; ++j) m2 += (get(j) - mean) * (get(j) - mean);
  return {mean, m2};
}

inline double signal_reference(double mean, double squared_error) {
  if (squared_error <= 0.0) return mean > 0.0 ? 8.0 : (mean < 0.0 ? -8.0 : 0.0);
  return std::clamp(mean / std::sqrt(squared_error), -8.0, 8.0);
}

// |x - y| over (absolute + relative |y|), the worst of all elements; at most 1 passes, NaN never.
class Comparison {
 public:
  Comparison(double absolute, double relative) : absolute_(absolute), relative_(relative) {}
  double distance(double x, double y) const {
    const double d = std::abs(x - y) / (absolute_ + relative_ * std::abs(y));
    return std::isfinite(d) ? d : std::numeric_limits<double>::infinity();
  }
  void add(double x, double y) {
    worst_ = std::max(worst_, distance(x, y));
    error_ += (x - y) * (x - y);
    norm_ += y * y;
  }
  double worst() const { return worst_; }
  double relative_norm() const { return std::sqrt(error_ / std::max(norm_, 1e-300)); }
  bool ok() const { return worst_ <= 1.0 && std::isfinite(error_); }

 private:
  double absolute_, relative_, worst_ = 0.0, error_ = 0.0, norm_ = 0.0;
};

}  // namespace expunge::gpu_bench
