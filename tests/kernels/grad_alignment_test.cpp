#include "kernels/grad_alignment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/isa.h"
#include "support/op_harness.h"

namespace expunge::kernels {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
constexpr int64_t kN = 4097;
constexpr int kSteps = 7;
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

// Gradients of step t; some are 0, some tiny, some agree.
const Floats& gradient(int objective, int t) {
  static std::map<std::pair<int, int>, Floats> drawn;
  Floats& g = drawn[{objective, t}];
  if (g.empty()) g = draw_gradient(objective, t);
  return g;
}
using Steps = std::vector<std::span<const float>>;  // the gradients of all steps so far

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

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

double reference_phi(double nu, double zf, double zr) {
  const double f = nu > 0 ? student_cdf(nu, zf) : normal_cdf(zf);
  const double r = nu > 0 ? student_cdf(nu, zr) : normal_cdf(zr);
  return f * r + (1 - f) * (1 - r);
}

struct Case {
  Estimator estimator = Estimator::paper;
  ElementGate gate = ElementGate::none;
  GateOn gate_on = GateOn::gradient;
  bool adam = true, student = false;
};

struct Result {
  Floats value, first, second;
  std::vector<Floats> states{};
};

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

const Floats& start_values() {
  static const auto normal = test::normal_values(kN, 7);
  static const Floats values(normal.begin(), normal.end());
  return values;
}

// kSteps steps, done in the pieces that `cuts` ends.
Result run(const Case& c, const std::vector<int64_t>& cuts = {kN}) {
  Result out{start_values(), Floats(kN), Floats(kN), {}};
  out.states.assign(6, Floats(kN));
  for (int t = 0; t < kSteps; ++t) {
    const Floats &gf = gradient(1, t), &gr = gradient(2, t);
    for (size_t k = 0; k < cuts.size(); ++k) {
      const int64_t i = k == 0 ? 0 : cuts[k - 1], n = cuts[k] - i;
      GradAlignment a{
          .g_f = gf.data() + i,
          .g_r = gr.data() + i,
          .beta = kBeta,
          .rule_f = rule_at(c.estimator, t, c.student),
          .rule_r = rule_at(c.estimator, t, c.student),
          .state_f = {out.states[0].data() + i, out.states[1].data() + i, out.states[2].data() + i},
          .state_r = {out.states[3].data() + i, out.states[4].data() + i, out.states[5].data() + i},
          .gate = {.gate = c.gate, .q = 0.3f, .seed = 5, .step = t, .element = i},
          .update = {{.is_adam = c.adam, .sgd = kSgd, .adam = adam_at(t)}, c.gate_on},
          .value = out.value.data() + i,
          .first = out.first.data() + i,
          .second = out.second.data() + i};
      grad_alignment({}, n, a);
    }
  }
  return out;
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

// All steps of parameter i in double; NaN where a weight was not certain.
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

bool same_bits(const Floats& a, const Floats& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
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

}  // namespace

TEST_CASE("erf: the fit is within 5e-7 of the library's, relative, odd, and 1 beyond 3.9") {
  double worst = 0;
  for (double x = 1e-6; x < 6; x = x * 1.0003 + 1e-7) {
    const auto f = static_cast<float>(x);
    const double exact = std::erf(double{f});
    worst = std::max(worst, std::abs(double{math::erf(f)} - exact) / exact);
    REQUIRE(math::erf(-f) == -math::erf(f));
  }
  CHECK(worst < 5e-7);
  CHECK(math::erf(0.0f) == 0.0f);
  CHECK(math::erf(5.0f) == 1.0f);
  CHECK(math::erf(1e30f) == 1.0f);
}

TEST_CASE("student: closed forms for 1 and 2 degrees of freedom, quadrature for others") {
  for (float nu : {1.0f, 2.0f, 2.5f, 3.0f, 7.0f, 18.7f, 63.0f, 999.0f})
    for (float z : {0.0f, 1e-4f, 0.3f, 1.0f, 2.7f, 8.0f, 1000.0f}) {
      float half = 0, negative = 0;
      const float minus = -z;
      half_cdf(nu, 1, &z, &half);
      half_cdf(nu, 1, &minus, &negative);
      double exact = student_cdf(double{nu}, double{z}) - 0.5;
      if (nu == 1) exact = std::atan(double{z}) / std::numbers::pi;
      if (nu == 2) exact = double{z} / (2 * std::sqrt(2 + double{z} * double{z}));
      CHECK(half == doctest::Approx(exact).epsilon(1e-6));
      CHECK(negative == -half);
    }
}

TEST_CASE("grad_alignment: every estimator, gate and optimizer against the double reference") {
  for (const Case& c : all_cases()) {
    CAPTURE(static_cast<int>(c.estimator));
    CAPTURE(static_cast<int>(c.gate));
    CAPTURE(static_cast<int>(c.gate_on));
    CAPTURE(c.adam);
    const Result got = run(c);
    int compared = 0;
    double worst = 0;
    for (size_t i = 0; i < 600; ++i) {  // all kinds of gradients; the reference is slow
      const double expected = reference_value(c, i);
      if (std::isnan(expected)) continue;
      // Adam divides by |g|: where g is about eps, rounding of v moves the step by its share
      worst =
          std::max(worst, std::abs(double{got.value[i]} - expected) / (std::abs(expected) + 0.001));
      ++compared;
    }
    CHECK(compared > 500);
    CHECK(worst < 1e-5);
  }
}

TEST_CASE("grad_alignment: pieces, threads and instruction sets give the same bits") {
  const Isa chosen = isa();
  for (const Case& c : all_cases()) {
    if (!c.adam) continue;
    set_isa(Isa::baseline);
    set_thread_count(1);
    const Result whole = run(c);
    for (Isa other : {Isa::baseline, Isa::avx2, Isa::avx512}) {
      if (!isa_supported(other)) continue;
      set_isa(other);
      set_thread_count(2);
      const Result pieces = run(c, {1, 32, 1000, 3333, kN});
      CHECK(same_bits(whole.value, pieces.value));
      CHECK(same_bits(whole.second, pieces.second));
      for (size_t s = 0; s < whole.states.size(); ++s)
        CHECK(same_bits(whole.states[s], pieces.states[s]));
    }
  }
  set_isa(chosen);
  set_thread_count(0);
}

TEST_CASE("grad_alignment: w = 0 under --gate-on update leaves the bits; zeros give no NaN") {
  const Result got = run({.gate = ElementGate::conjunction, .gate_on = GateOn::update});
  const Floats start = start_values();
  int frozen = 0;
  for (size_t i = 0; i < got.value.size(); ++i) {
    bool always = true;
    for (int t = 0; t < kSteps; ++t) always = always && gradient(1, t)[i] * gradient(2, t)[i] < 0;
    if (!always) continue;
    ++frozen;
    CHECK(std::memcmp(&got.value[i], &start[i], sizeof(float)) == 0);
  }
  CHECK(frozen > 0);
  for (const Case& c : all_cases()) {
    const Result result = run(c);
    for (size_t i = 0; i < kN; i += 17) REQUIRE(std::isfinite(result.value[i]));  // g = 0
  }
}

}  // namespace expunge::kernels
