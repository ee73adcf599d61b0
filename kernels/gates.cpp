#include "kernels/gates.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/check.h"

namespace expunge::kernels {
namespace {

// Indices in the order of `before(value, value)`, equal ones by index.
template <class Value, class Before>
std::vector<int64_t> sorted(int64_t n, Value value, Before before) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const auto x = value(a), y = value(b);
    return x != y ? before(x, y) : a < b;
  });
  return order;
}

template <class T>
auto at(std::span<T> values) {
  return [values](int64_t i) { return values[static_cast<size_t>(i)]; };
}

}  // namespace

double quantile(std::span<const float> values, double q, Quantile how) {
  EXPUNGE_CHECK(q >= 0 && q <= 1 && !values.empty(), "quantile {} of {} values", q, values.size());
  std::vector<float> v(values.begin(), values.end());
  const double place = q * static_cast<double>(v.size() - 1);
  const auto low = static_cast<size_t>(place);
  const auto at_low = v.begin() + static_cast<std::ptrdiff_t>(low);
  std::nth_element(v.begin(), at_low, v.end());
  const double below = double{*at_low};
  const double above = low + 1 < v.size() ? double{*std::min_element(at_low + 1, v.end())} : below;
  const double part = place - static_cast<double>(low);
  const double share = part == 0 ? 0 : how == Quantile::midpoint ? 0.5 : part;
  return below + share * (above - below);
}

void gate_saliency(std::span<const float> s, double q, Quantile how, std::span<float> w) {
  if (s.empty()) return;
  std::vector<float> size(s.size());
  for (size_t i = 0; i < s.size(); ++i) size[i] = std::abs(s[i]);
  const double threshold = quantile(size, q, how);
  for (size_t i = 0; i < s.size(); ++i) w[i] = double{std::abs(s[i])} >= threshold ? 1.0f : 0.0f;
}

void gate_top(std::span<const float> score, int64_t keep, std::span<float> w) {
  const auto n = std::ssize(score);
  EXPUNGE_CHECK(keep >= 0 && keep <= n, "top: {} of {} parameters", keep, n);
  const auto order = sorted(n, at(score), std::greater<>());
  for (int64_t i = 0; i < n; ++i)
    w[static_cast<size_t>(order[static_cast<size_t>(i)])] = i < keep ? 1.0f : 0.0f;
}

int64_t gate_fdr(std::span<const float> phi, double alpha, std::span<float> w) {
  const auto n = std::ssize(phi);
  const auto order = sorted(n, at(phi), std::greater<>());
  double risk = 0;
  int64_t keep = 0;
  for (int64_t i = 0; i < n; ++i) {
    risk += 1.0 - double{phi[static_cast<size_t>(order[static_cast<size_t>(i)])]};
    if (risk <= alpha * static_cast<double>(i + 1)) keep = i + 1;
  }
  for (int64_t i = 0; i < n; ++i)
    w[static_cast<size_t>(order[static_cast<size_t>(i)])] = i < keep ? 1.0f : 0.0f;
  return keep;
}

int64_t gate_opt(std::span<const float> g_f, std::span<const float> g_r, std::span<const float> phi,
                 double beta, std::span<float> w) {
  const auto n = std::ssize(g_f);
  const auto weight = [phi](int64_t i) {
    return phi.empty() ? 1.0 : double{phi[static_cast<size_t>(i)]};
  };
  const auto u = [&](int64_t i) { return weight(i) * double{g_f[static_cast<size_t>(i)]}; };
  const auto c = [&](int64_t i) { return weight(i) * double{g_r[static_cast<size_t>(i)]}; };
  const auto product = [&](int64_t i) { return u(i) * c(i); };
  double uu = 0, cc = 0, uc = 0;
  for (int64_t i = 0; i < n; ++i) uu += u(i) * u(i), cc += c(i) * c(i), uc += u(i) * c(i);
  const auto feasible = [&] {
    return std::min((1 - beta) * uu + beta * uc, beta * cc + (1 - beta) * uc) >= 0;
  };
  for (int64_t i = 0; i < n; ++i) w[static_cast<size_t>(i)] = static_cast<float>(weight(i));
  if (feasible()) return 0;
  const auto order = sorted(n, product, std::less<>());
  // Sums of what is left, from the other end: no difference of large numbers.
  std::vector<double> left_uu(order.size() + 1), left_cc(order.size() + 1),
      left_uc(order.size() + 1);
  for (size_t k = order.size(); k-- > 0;) {
    const int64_t i = order[k];
    left_uu[k] = left_uu[k + 1] + u(i) * u(i);
    left_cc[k] = left_cc[k + 1] + c(i) * c(i);
    left_uc[k] = left_uc[k + 1] + u(i) * c(i);
  }
  for (size_t dropped = 1; dropped <= order.size(); ++dropped) {
    w[static_cast<size_t>(order[dropped - 1])] = 0.0f;
    uu = left_uu[dropped], cc = left_cc[dropped], uc = left_uc[dropped];
    if (feasible()) return static_cast<int64_t>(dropped);
  }
  return n;  // the empty set is feasible: not reached
}

}  // namespace expunge::kernels
