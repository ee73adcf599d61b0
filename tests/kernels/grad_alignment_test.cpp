#include "kernels/grad_alignment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/parallel.h"
#include "kernels/isa.h"
#include "support/alignment_reference.h"

namespace expunge::kernels {
namespace {

using namespace test::alignment;

struct Result {
  Floats value, first, second;
  std::vector<Floats> states{};
};

// kSteps steps, done in the pieces that `cuts` ends.
Result run(const Case& c, const std::vector<int64_t>& cuts = {kN}) {
  Result out{start_values(), Floats(kN), Floats(kN), {}};
  out.states.assign(6, Floats(kN));
  for (int t = 0; t < kSteps; ++t) {
    Pointers p{.g_f = gradient(1, t).data(),
               .g_r = gradient(2, t).data(),
               .value = out.value.data(),
               .first = out.first.data(),
               .second = out.second.data(),
               .state = {}};
    for (size_t k = 0; k < p.state.size(); ++k) p.state[k] = out.states[k].data();
    for (size_t k = 0; k < cuts.size(); ++k) {
      const int64_t i = k == 0 ? 0 : cuts[k - 1];
      grad_alignment({}, cuts[k] - i, step_at(c, t, i, p));
    }
  }
  return out;
}

bool same_bits(const Floats& a, const Floats& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
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

TEST_CASE("student: the objectives may have different degrees of freedom") {
  const Floats z_f = {-2, 0.5f, 1, 3}, z_r = {1, 1, -0.5f, 2};
  Floats error(4, 1), half_f(4), half_r(4), phi(4);
  GradAlignment a{};
  a.g_f = z_f.data(), a.g_r = z_r.data();
  a.rule_f = a.rule_r = {.estimator = Estimator::moments};
  a.rule_f.degrees = 3, a.rule_r.degrees = 20;
  a.state_f = a.state_r = {.s0 = error.data()};
  focus_vector({}, 4, a, phi.data());
  half_cdf(3, 4, z_f.data(), half_f.data());
  half_cdf(20, 4, z_r.data(), half_r.data());
  for (size_t i = 0; i < 4; ++i) CHECK(phi[i] == math::focus(half_f[i], half_r[i]));
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
