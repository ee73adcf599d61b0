#include "eval/distance.h"

#include <cmath>

#include "core/check.h"

namespace expunge::eval {
namespace {

// sum_i p_i log(p_i / m_i) over p_i > 0, m = (p + q) / 2
double kl_to_middle(std::span<const double> p, std::span<const double> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) sum += p[i] * std::log(2 * p[i] / (p[i] + q[i]));
  return sum;
}

Distance of_sample(const Outputs& model, const Outputs& reference, int64_t n) {
  const auto p = model.p_of(n), q = reference.p_of(n);
  const auto log_p = model.log_p_of(n), log_q = reference.log_p_of(n);
  double kl = 0, squares = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    kl += q[i] * (log_q[i] - log_p[i]);
    squares += (p[i] - q[i]) * (p[i] - q[i]);
  }
  return {model.predicted(n) == reference.predicted(n) ? 1.0 : 0.0, kl,
          (kl_to_middle(p, q) + kl_to_middle(q, p)) / 2, std::sqrt(squares)};
}

}  // namespace

Distance distance(const Outputs& model, const Outputs& reference) {
  EXPUNGE_CHECK(model.classes == reference.classes && model.positions == reference.positions,
                "distance: outputs of {} samples and {} classes, and of {} and {}, are not of the "
                "same samples",
                model.samples(), model.classes, reference.samples(), reference.classes);
  std::vector<Distance> each;
  for (int64_t n = 0; n < model.samples(); ++n) each.push_back(of_sample(model, reference, n));
  return mean_of(each);
}

Distance mean_of(std::span<const Distance> distances) {
  if (distances.empty()) return {};
  Distance sum{0, 0, 0, 0};
  for (const Distance& d : distances) {
    sum.agreement += d.agreement;
    sum.kl += d.kl;
    sum.js += d.js;
    sum.l2 += d.l2;
  }
  const auto n = static_cast<double>(distances.size());
  return {sum.agreement / n, sum.kl / n, sum.js / n, sum.l2 / n};
}

}  // namespace expunge::eval
