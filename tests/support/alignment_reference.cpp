#include "support/alignment_reference.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "core/rng.h"
#include "support/normal_values.h"

namespace expunge::test::alignment {
namespace {

using kernels::ElementGate;
using kernels::Estimator;
using kernels::GateOn;
using kernels::GradAlignment;
using kernels::StatisticsRule;

constexpr float kBeta = 0.95f, kRho = 0.9f;
constexpr int kBlock = 3;

Floats draw_gradient(int objective, int t) {
  const auto normal = test::normal_values(kN, static_cast<uint64_t>(100 * objective + t));
  const auto common = test::normal_values(kN, static_cast<uint64_t>(50 + objective / 2));
  Floats g(kN);
  for (size_t i = 0; i < g.size(); ++i) {
    const double size = i % 11 == 0 ? 1e-6 : 0.03;
    g[i] = i % 17 == 0 ? 0.0f : static_cast<float>(size * (normal[i] + common[i]));
  }
  return g;
}

// The scalars of step t, as unlearn/ computes them, written again.
StatisticsRule rule_at(Estimator estimator, int t, bool student) {
  StatisticsRule r{.estimator = estimator};
  if (estimator == Estimator::paper) {
    r.paper = {.newest = t == 0 ? 1 - kRho : kRho, .kept = t == 0 ? 0.0f : 1 - kRho};
  } else if (estimator == Estimator::ema) {
    double W = 0, Q = 0;
    for (int k = 0; k <= t; ++k) W = kRho * W + 1, Q = double{kRho} * kRho * Q + 1;
    const double S = Q / (W * W);
    r.ema = {.a = static_cast<float>(1 / W),
             .spread = t == 0 ? -1.0f : static_cast<float>(S / (1 - S))};
    if (student) r.degrees = 18.7f;
  } else {
    const int j = t % kBlock + 1;
    r.welford = {.inverse = static_cast<float>(1.0 / j),
                 .scale = j == kBlock ? static_cast<float>(1.0 / (kBlock * (kBlock - 1))) : 0.0f};
    if (student) r.degrees = kBlock - 1;
  }
  return r;
}

// The statistics once more, in double and from their definitions: all gradients so far.
double reference_z(Estimator estimator, const Steps& g, size_t i) {
  const auto steps = g.size();
  if (estimator == Estimator::paper) {
    double v = 0;
    for (size_t t = 0; t < steps; ++t) {
      const double square = double{g[t][i]} * double{g[t][i]};
      v = t == 0 ? (1 - double{kRho}) * square : double{kRho} * square + (1 - double{kRho}) * v;
    }
    return double{g.back()[i]} / std::sqrt(v + 1e-8);
  }
  size_t begin = 0, end = steps;
  if (estimator == Estimator::welford) end = steps / kBlock * kBlock, begin = end - kBlock;
  if (steps < 2 || (estimator == Estimator::welford && steps < kBlock)) return 0;
  // weights w_t = rho^(steps - 1 - t), or 1 within the block
  double W = 0, Q = 0, mean = 0, variance = 0;
  for (size_t t = begin; t < end; ++t) {
    const double w = estimator == Estimator::ema ? std::pow(double{kRho}, double(end - 1 - t)) : 1;
    W += w, Q += w * w, mean += w * double{g[t][i]};
  }
  mean /= W;
  for (size_t t = begin; t < end; ++t) {
    const double w = estimator == Estimator::ema ? std::pow(double{kRho}, double(end - 1 - t)) : 1;
    variance += w * (double{g[t][i]} - mean) * (double{g[t][i]} - mean);
  }
  variance /= W;
  const double S = Q / (W * W), squared_error = variance * S / (1 - S);
  if (squared_error == 0) return mean > 0 ? 8 : mean < 0 ? -8 : 0;
  return std::clamp(mean / std::sqrt(squared_error), -8.0, 8.0);
}

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

double reference_phi(double nu, double zf, double zr) {
  const double f = nu > 0 ? student_cdf(nu, zf) : normal_cdf(zf);
  const double r = nu > 0 ? student_cdf(nu, zr) : normal_cdf(zr);
  return f * r + (1 - f) * (1 - r);
}

const math::SgdRule kSgd{.lr = 0.05f, .momentum = 0.9f, .weight_decay = 0, .nesterov = false};

math::AdamRule adam_at(int t) {
  return {.lr = 0.001f,
          .beta1 = 0.9f,
          .beta2 = 0.999f,
          .eps = 1e-8f,
          .weight_decay = 0,
          .bias1 = static_cast<float>(1 - std::pow(0.9, t + 1)),
          .bias2 = static_cast<float>(1 - std::pow(0.999, t + 1)),
          .decoupled = false};
}

// w of step t in double; < 0 where rounding may decide it either way.
double reference_weight(const Case& c, const Steps& gf, const Steps& gr, size_t i) {
  const int t = static_cast<int>(gf.size()) - 1;
  const double f = double{gf.back()[i]}, r = double{gr.back()[i]};
  if (c.gate == ElementGate::none) return 1;
  if (c.gate == ElementGate::conjunction) return f * r < 0 ? 0 : 1;
  const double nu = double{rule_at(c.estimator, t, c.student).degrees};
  const double phi =
      reference_phi(nu, reference_z(c.estimator, gf, i), reference_z(c.estimator, gr, i));
  if (c.gate == ElementGate::focus) return phi;
  double threshold = 0.3;
  if (c.gate == ElementGate::bernoulli) {
    const rng::Draw d = rng::philox(5, rng::Purpose::mask,
                                    {{static_cast<uint32_t>(t), 0, static_cast<uint32_t>(i), 0}});
    threshold = double{rng::uniform(d.word[0])} + 1e-12;  // w = 1 where the draw lies below phi
  }
  // 1e-5: rounding of phi, whose z is a quotient of small float differences
  return std::abs(phi - threshold) < 1e-5 ? -1 : phi >= threshold ? 1 : 0;
}

}  // namespace

const Floats& gradient(int objective, int t) {
  static std::map<std::pair<int, int>, Floats> drawn;
  Floats& g = drawn[{objective, t}];
  if (g.empty()) g = draw_gradient(objective, t);
  return g;
}

const Floats& start_values() {
  static const auto normal = test::normal_values(kN, 7);
  static const Floats values(normal.begin(), normal.end());
  return values;
}

double student_cdf(double nu, double z) {  // by Simpson's rule over theta
  const auto f = [nu](double t) { return std::pow(std::cos(t), nu - 1); };
  const auto integral = [&](double a, double b) {
    constexpr int n = 1000;
    double sum = f(a) + f(b);
    for (int k = 1; k < n; ++k) sum += (k % 2 == 1 ? 4 : 2) * f(a + (b - a) * k / n);
    return sum * (b - a) / n / 3;
  };
  static std::map<double, double> half;  // the integral from 0 to pi / 2
  if (!half.contains(nu)) half[nu] = integral(0, std::numbers::pi / 2);
  return 0.5 + 0.5 * integral(0, std::atan(z / std::sqrt(nu))) / half[nu];
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (Estimator e : {Estimator::paper, Estimator::welford, Estimator::ema})
    for (ElementGate g : {ElementGate::none, ElementGate::conjunction, ElementGate::prob,
                          ElementGate::focus, ElementGate::bernoulli})
      for (GateOn on : {GateOn::gradient, GateOn::update})
        for (bool adam : {true, false})
          cases.push_back({e, g, on, adam, e != Estimator::paper && adam});
  return cases;
}

GradAlignment step_at(const Case& c, int t, int64_t i, const Pointers& p) {
  const auto state = [&](size_t k) { return p.state[k] + i; };
  return {.g_f = p.g_f + i,
          .g_r = p.g_r + i,
          .beta = kBeta,
          .rule_f = rule_at(c.estimator, t, c.student),
          .rule_r = rule_at(c.estimator, t, c.student),
          .state_f = {state(0), state(1), state(2)},
          .state_r = {state(3), state(4), state(5)},
          .gate = {.gate = c.gate, .q = 0.3f, .seed = 5, .step = t, .element = i},
          .update = {{.is_adam = c.adam, .sgd = kSgd, .adam = adam_at(t)}, c.gate_on},
          .value = p.value + i,
          .first = p.first + i,
          .second = p.second + i};
}

double reference_value(const Case& c, size_t i) {
  double value = double{start_values()[i]}, m = 0, v = 0;
  Steps gf, gr;
  for (int t = 0; t < kSteps; ++t) {
    gf.push_back(gradient(1, t)), gr.push_back(gradient(2, t));
    const double w = reference_weight(c, gf, gr, i);
    if (w < 0) return std::nan("");
    const double d =
        double{kBeta} * double{gr.back()[i]} + (1 - double{kBeta}) * double{gf.back()[i]};
    const double g = c.gate_on == GateOn::gradient ? w * d : d;
    double move = 0;
    if (c.adam) {
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      move = -0.001 * (m / (1 - std::pow(0.9, t + 1))) /
             (std::sqrt(v / (1 - std::pow(0.999, t + 1))) + 1e-8);
    } else {
      m = 0.9 * m + g;
      move = -0.05 * m;
    }
    value += c.gate_on == GateOn::update ? w * move : move;
  }
  return value;
}

}  // namespace expunge::test::alignment
