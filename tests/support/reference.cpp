#include "support/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace expunge::reference {

Values conv2d(const Conv& s, const Values& x, const Values& w, const Values* bias) {
  Values y;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t p = 0; p < s.P(); ++p)
      for (int64_t q = 0; q < s.Q(); ++q)
        for (int64_t k = 0; k < s.K; ++k) {
          double sum = bias != nullptr ? (*bias)[static_cast<size_t>(k)] : 0.0;
          for (int64_t r = 0; r < s.R; ++r)
            for (int64_t t = 0; t < s.S; ++t) {
              const int64_t h = p * s.stride - s.pad + r, v = q * s.stride - s.pad + t;
              if (h < 0 || v < 0 || h >= s.H || v >= s.W) continue;
              for (int64_t c = 0; c < s.C; ++c)
                sum += x[static_cast<size_t>(((n * s.H + h) * s.W + v) * s.C + c)] *
                       w[static_cast<size_t>(((k * s.R + r) * s.S + t) * s.C + c)];
            }
          y.push_back(sum);
        }
  return y;
}

Values batch_norm(const Norm& s, const Values& x, const Values& gamma, const Values& beta,
                  const Values* residual, const Values* mean, const Values* var) {
  Values y(x.size());
  for (int64_t c = 0; c < s.C; ++c) {
    const size_t ch = static_cast<size_t>(c);
    const auto at = [&](int64_t p) { return static_cast<size_t>(p * s.C + c); };
    double m = 0, v = 0;
    for (int64_t p = 0; p < s.pixels; ++p) m += x[at(p)] / static_cast<double>(s.pixels);
    for (int64_t p = 0; p < s.pixels; ++p)
      v += (x[at(p)] - m) * (x[at(p)] - m) / static_cast<double>(s.pixels);
    if (mean != nullptr) m = (*mean)[ch], v = (*var)[ch];
    for (int64_t p = 0; p < s.pixels; ++p) {
      double sum = gamma[ch] * (x[at(p)] - m) / std::sqrt(v + s.eps) + beta[ch];
      if (residual != nullptr) sum += (*residual)[at(p)];
      y[at(p)] = s.relu ? std::max(0.0, sum) : sum;
    }
  }
  return y;
}

namespace {

// combine(sum or max so far, value), finish(result, rows in the window, columns in the window)
template <class Combine, class Finish>
Values pool(const Pool& s, const Values& x, double start, Combine combine, Finish finish) {
  const int64_t P = (s.H + 2 * s.pad - s.kernel) / s.stride + 1,
                Q = (s.W + 2 * s.pad - s.kernel) / s.stride + 1;
  Values y;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t p = 0; p < P; ++p)
      for (int64_t q = 0; q < Q; ++q)
        for (int64_t c = 0; c < s.C; ++c) {
          double result = start;
          for (int64_t r = 0; r < s.kernel; ++r)
            for (int64_t t = 0; t < s.kernel; ++t) {
              const int64_t h = p * s.stride - s.pad + r, v = q * s.stride - s.pad + t;
              if (h >= 0 && v >= 0 && h < s.H && v < s.W)
                result =
                    combine(result, x[static_cast<size_t>(((n * s.H + h) * s.W + v) * s.C + c)]);
            }
          y.push_back(finish(result));
        }
  return y;
}

}  // namespace

Values max_pool(const Pool& s, const Values& x) {
  return pool(
      s, x, -std::numeric_limits<double>::infinity(),
      [](double a, double b) { return std::max(a, b); }, [](double a) { return a; });
}

Values average_pool(const Pool& s, const Values& x) {
  return pool(
      s, x, 0.0, [](double a, double b) { return a + b; },
      [&](double a) { return a / static_cast<double>(s.kernel * s.kernel); });
}

Values adaptive_pool(int64_t N, int64_t H, int64_t W, int64_t C, int64_t P, int64_t Q,
                     const Values& x) {
  Values y;
  for (int64_t n = 0; n < N; ++n)
    for (int64_t p = 0; p < P; ++p)
      for (int64_t q = 0; q < Q; ++q)
        for (int64_t c = 0; c < C; ++c) {
          double sum = 0, count = 0;
          for (int64_t h = p * H / P; h * P < (p + 1) * H; ++h)
            for (int64_t w = q * W / Q; w * Q < (q + 1) * W; ++w)
              sum += x[static_cast<size_t>(((n * H + h) * W + w) * C + c)], count += 1;
          y.push_back(sum / count);
        }
  return y;
}

Values softmax(int64_t N, int64_t C, const Values& x, double temperature) {
  Values y(x.size());
  for (int64_t n = 0; n < N; ++n) {
    double total = 0;
    for (int64_t c = 0; c < C; ++c)
      total += std::exp(x[static_cast<size_t>(n * C + c)] / temperature);
    for (int64_t c = 0; c < C; ++c)
      y[static_cast<size_t>(n * C + c)] =
          std::exp(x[static_cast<size_t>(n * C + c)] / temperature) / total;
  }
  return y;
}

double cross_entropy(int64_t N, int64_t C, const Values& logits, const Values& targets) {
  const Values p = softmax(N, C, logits);
  double loss = 0;
  for (size_t i = 0; i < p.size(); ++i) loss -= targets[i] * std::log(p[i]);
  return loss / static_cast<double>(N);
}

double kl(int64_t N, int64_t C, const Values& student, const Values& teacher, double temperature) {
  const Values s = softmax(N, C, student, temperature), t = softmax(N, C, teacher, temperature);
  double loss = 0;
  for (size_t i = 0; i < s.size(); ++i) loss += t[i] * std::log(t[i] / s[i]);
  return temperature * temperature * loss / static_cast<double>(N);
}

double scrub(int64_t N, int64_t C, const Values& student, const Values& teacher) {
  const Values s = softmax(N, C, student), t = softmax(N, C, teacher);
  double loss = 0;
  for (size_t i = 0; i < s.size(); ++i) loss += s[i] * (std::log(s[i]) - t[i]);
  return loss / static_cast<double>(N);
}

}  // namespace expunge::reference
