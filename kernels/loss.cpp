#include "kernels/loss.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"

namespace expunge::kernels {
namespace {

constexpr int64_t kRows = 64;  // rows of a task

template <class Body>
void for_rows(int64_t N, Body body) {
  parallel_for((N + kRows - 1) / kRows, [&](int64_t chunk) {
    for (int64_t i = chunk * kRows; i < std::min(N, (chunk + 1) * kRows); ++i) body(i);
  });
}

// log softmax of z / T at c is z[c] / T - log_sum. In double: a loss is compared with others to
// many digits.
double log_sum_exp(const float* z, int64_t C, double temperature) {
  const double top = double{*std::max_element(z, z + C)} / temperature;
  double total = 0;
  for (int64_t c = 0; c < C; ++c) total += std::exp(double{z[c]} / temperature - top);
  return top + std::log(total);
}

}  // namespace

void softmax_xent(Stream, const SoftmaxXent& a, float* losses, float* gradient) {
  for_rows(a.N, [&](int64_t i) {
    const float* z = a.logits + i * a.C;
    const double log_sum = log_sum_exp(z, a.C, 1.0);
    const double even = double{a.smoothing} / static_cast<double>(a.C);
    double loss = 0;
    for (int64_t c = 0; c < a.C; ++c) {
      const double t = a.soft_targets != nullptr
                           ? double{a.soft_targets[i * a.C + c]}
                           : even + (c == a.labels[i] ? 1.0 - double{a.smoothing} : 0.0);
      const double log_p = double{z[c]} - log_sum;
      if (t != 0.0) loss -= t * log_p;
      if (gradient != nullptr) gradient[i * a.C + c] = static_cast<float>(std::exp(log_p) - t);
    }
    losses[i] = static_cast<float>(loss);
  });
}

void softmax_kl(Stream, int64_t N, int64_t C, const float* student, const float* teacher,
                float temperature, float* losses, float* gradient) {
  const double T = temperature;
  for_rows(N, [&](int64_t i) {
    const float *s = student + i * C, *t = teacher + i * C;
    const double log_sum_s = log_sum_exp(s, C, T), log_sum_t = log_sum_exp(t, C, T);
    double loss = 0;
    for (int64_t c = 0; c < C; ++c) {
      const double log_s = double{s[c]} / T - log_sum_s, log_t = double{t[c]} / T - log_sum_t;
      const double p_t = std::exp(log_t);
      if (p_t != 0.0) loss += p_t * (log_t - log_s);
      if (gradient != nullptr)
        gradient[i * C + c] = static_cast<float>(T * (std::exp(log_s) - p_t));
    }
    losses[i] = static_cast<float>(T * T * loss);
  });
}

void softmax_scrub(Stream, int64_t N, int64_t C, const float* student, const float* teacher,
                   float* losses, float* gradient) {
  for_rows(N, [&](int64_t i) {
    const float *s = student + i * C, *t = teacher + i * C;
    const double log_sum_s = log_sum_exp(s, C, 1.0), log_sum_t = log_sum_exp(t, C, 1.0);
    const auto log_s = [&](int64_t c) { return double{s[c]} - log_sum_s; };
    const auto f = [&](int64_t c) { return log_s(c) - std::exp(double{t[c]} - log_sum_t); };
    double loss = 0;
    for (int64_t c = 0; c < C; ++c) loss += std::exp(log_s(c)) * f(c);
    losses[i] = static_cast<float>(loss);
    if (gradient == nullptr) return;
    for (int64_t c = 0; c < C; ++c)
      gradient[i * C + c] = static_cast<float>(std::exp(log_s(c)) * (f(c) - loss));
  });
}

void squared_error(Stream, int64_t N, int64_t C, const float* x, const float* targets,
                   float* losses, float* gradient) {
  for_rows(N, [&](int64_t i) {
    double loss = 0;
    for (int64_t k = i * C; k < (i + 1) * C; ++k) {
      const double d = double{x[k]} - double{targets[k]};
      loss += d * d;
      if (gradient != nullptr) gradient[k] = static_cast<float>(2.0 * d / static_cast<double>(C));
    }
    losses[i] = static_cast<float>(loss / static_cast<double>(C));
  });
}

void softmax(Stream, int64_t N, int64_t C, const float* x, float* y) {
  for_rows(N, [&](int64_t i) {
    const double log_sum = log_sum_exp(x + i * C, C, 1.0);
    for (int64_t c = 0; c < C; ++c)
      y[i * C + c] = static_cast<float>(std::exp(double{x[i * C + c]} - log_sum));
  });
}

}  // namespace expunge::kernels
