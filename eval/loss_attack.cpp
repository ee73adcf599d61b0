#include "eval/loss_attack.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "data/draw_order.h"
#include "eval/spread.h"

namespace expunge::eval {
namespace {

constexpr int kMaxSteps = 200, kMaxHalvings = 60;
constexpr double kConverged = 1e-13;  // decrease that a Newton step promises, of the objective

// The objective at (slope, level) with x measured from its mean, which keeps the two apart:
// intercept = level - slope mean.
struct Objective {
  double value = 0;
  double d_slope = 0, d_level = 0;        // gradient
  double ss = 0, sl = 0, ll = 0;          // second derivatives
  double step_slope = 0, step_level = 0;  // Newton's step
  double promised = 0;                    // -gradient . step
};

struct Problem {
  std::span<const double> members, non_members;
  double mean = 0;

  // Sample x with label y in {0, 1}, f = slope (x - mean) + level.
  void add(Objective& o, double slope, double level, double x, double y) const {
    const double centred = x - mean, f = slope * centred + level;
    const double e = std::exp(-std::abs(f)), p = f >= 0 ? 1 / (1 + e) : e / (1 + e);
    const double weight = e / ((1 + e) * (1 + e));
    o.value += std::max(f, 0.0) - y * f + std::log1p(e);
    o.d_slope += (p - y) * centred;
    o.d_level += p - y;
    o.ss += weight * centred * centred;
    o.sl += weight * centred;
    o.ll += weight;
  }

  Objective at(double slope, double level) const {
    Objective o{.value = slope * slope / 2, .d_slope = slope, .ss = 1};
    for (const double x : members) add(o, slope, level, x, 1);
    for (const double x : non_members) add(o, slope, level, x, 0);
    const double determinant = o.ss * o.ll - o.sl * o.sl;
    o.step_slope = -(o.ll * o.d_slope - o.sl * o.d_level) / determinant;
    o.step_level = -(o.ss * o.d_level - o.sl * o.d_slope) / determinant;
    o.promised = -(o.d_slope * o.step_slope + o.d_level * o.step_level);
    return o;
  }
};

using Order = std::vector<int32_t>;

Order shuffled(size_t n, uint64_t seed, uint32_t which) {
  Order order(n);
  std::iota(order.begin(), order.end(), 0);
  data::shuffle_keyed(order, seed, rng::Purpose::attack, which);
  return order;
}

std::vector<double> drawn(std::span<const double> x, size_t n, uint64_t seed, uint32_t which) {
  std::vector<double> out;
  const Order order = shuffled(x.size(), seed, which);
  for (size_t i = 0; i < n; ++i) out.push_back(x[static_cast<size_t>(order[i])]);
  return out;
}

}  // namespace

Logistic fit_logistic(std::span<const double> members, std::span<const double> non_members) {
  EXPUNGE_CHECK(!members.empty() && !non_members.empty(), "logistic: {} members, {} non-members",
                members.size(), non_members.size());
  Problem problem{members, non_members};
  const double sum = std::accumulate(members.begin(), members.end(), 0.0) +
                     std::accumulate(non_members.begin(), non_members.end(), 0.0);
  problem.mean = sum / static_cast<double>(members.size() + non_members.size());
  double slope = 0, level = 0;
  Objective now = problem.at(slope, level);
  for (int step = 0; step < kMaxSteps; ++step) {
    const bool last = now.promised <= kConverged * now.value;
    double t = 1;
    Objective next = problem.at(slope + now.step_slope, level + now.step_level);
    for (int h = 0; !last && h < kMaxHalvings && !(next.value < now.value); ++h) {
      t /= 2;
      next = problem.at(slope + t * now.step_slope, level + t * now.step_level);
    }
    slope += t * now.step_slope;
    level += t * now.step_level;
    if (last) break;
    now = next;
  }
  return {slope, level - slope * problem.mean};
}

LossAttack loss_attack(std::span<const double> member_losses,
                       std::span<const double> non_member_losses, const LossAttackConfig& config) {
  const size_t n = std::min(member_losses.size(), non_member_losses.size());
  EXPUNGE_CHECK(n >= 2 && config.folds >= 2 && config.test_share > 0 && config.test_share < 1,
                "loss attack: {} members, {} non-members, {} folds, test share {}",
                member_losses.size(), non_member_losses.size(), config.folds, config.test_share);
  const auto tested = std::clamp<size_t>(
      static_cast<size_t>(std::lround(config.test_share * static_cast<double>(n))), 1, n - 1);
  const auto one = drawn(member_losses, n, config.seed, 0);
  const auto zero = drawn(non_member_losses, n, config.seed, 1);
  std::vector<double> accuracies;
  for (int fold = 0; fold < config.folds; ++fold) {
    const auto which = static_cast<uint32_t>(2 + 2 * fold);
    const auto members = drawn(one, n, config.seed, which);
    const auto others = drawn(zero, n, config.seed, which + 1);
    const Logistic fitted =
        fit_logistic(std::span(members).subspan(tested), std::span(others).subspan(tested));
    size_t right = 0;
    for (size_t i = 0; i < tested; ++i)
      right += fitted.member(members[i]) + !fitted.member(others[i]);
    accuracies.push_back(static_cast<double>(right) / static_cast<double>(2 * tested));
  }
  const Spread s = spread_of(accuracies);
  return {s.mean, s.sd};
}

}  // namespace expunge::eval
