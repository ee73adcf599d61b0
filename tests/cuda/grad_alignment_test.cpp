#include "kernels/grad_alignment.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "cuda/device_array.h"
#include "kernels/student.h"
#include "support/alignment_reference.h"

namespace expunge::kernels {
namespace {

using namespace test::alignment;
using test::DeviceArray;

constexpr Stream kStream{.device = Device::cuda};

// What the steps change: value, first, second, six states.
constexpr size_t kBuffers = 9;
using Buffers = std::vector<Floats>;

Buffers start(size_t n) {
  Buffers b(kBuffers, Floats(n));
  b[0].assign(start_values().begin(), start_values().begin() + static_cast<long>(n));
  return b;
}

Pointers pointers(const float* g_f, const float* g_r, const std::array<float*, kBuffers>& b) {
  return {.g_f = g_f,
          .g_r = g_r,
          .value = b[0],
          .first = b[1],
          .second = b[2],
          .state = {b[3], b[4], b[5], b[6], b[7], b[8]}};
}

Floats first_of(const Floats& all, size_t n) {
  return {all.begin(), all.begin() + static_cast<long>(n)};
}

// `to_do(step, g_f, g_r)` for each step on the device; what its memory holds then.
template <class F>
Buffers on_device(const Case& c, size_t n, const F& to_do) {
  std::vector<std::unique_ptr<DeviceArray<float>>> memory;
  std::array<float*, kBuffers> p{};
  for (const Floats& b : start(n)) {
    memory.push_back(std::make_unique<DeviceArray<float>>(b));
    p[memory.size() - 1] = memory.back()->data();
  }
  for (int t = 0; t < kSteps; ++t) {
    const DeviceArray<float> g_f(first_of(gradient(1, t), n)), g_r(first_of(gradient(2, t), n));
    to_do(step_at(c, t, 0, pointers(g_f.data(), g_r.data(), p)));
  }
  Buffers out;
  for (const auto& m : memory) out.push_back(m->values());
  return out;
}

Buffers on_cpu(const Case& c, size_t n) {
  Buffers b = start(n);
  std::array<float*, kBuffers> p{};
  for (size_t k = 0; k < kBuffers; ++k) p[k] = b[k].data();
  for (int t = 0; t < kSteps; ++t)
    grad_alignment({}, static_cast<int64_t>(n),
                   step_at(c, t, 0, pointers(gradient(1, t).data(), gradient(2, t).data(), p)));
  return b;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_case(const Case& c, size_t n) {
  CAPTURE(static_cast<int>(c.estimator));
  CAPTURE(static_cast<int>(c.gate));
  CAPTURE(static_cast<int>(c.gate_on));
  CAPTURE(c.adam);
  CAPTURE(n);
  const auto count = static_cast<int64_t>(n);
  const Buffers got =
      on_device(c, n, [=](const GradAlignment& a) { cuda::grad_alignment(kStream, count, a); });
  const Buffers same = on_cpu(c, n);
  for (size_t k = 0; k < kBuffers; ++k) {
    CAPTURE(k);
    CHECK(same_bits(got[k], same[k]));
  }
  for (size_t i = 0; i < n && i < 40; ++i) {
    const double expected = reference_value(c, i);
    if (!std::isnan(expected))  // the tolerance: tests/kernels/grad_alignment_test.cpp
      CHECK(std::abs(double{got[0][i]} - expected) < 1e-5 * (std::abs(expected) + 0.001));
  }
}

}  // namespace

TEST_CASE("cuda grad_alignment: every estimator, gate and optimizer: the CPU's bits, and double") {
  for (const Case& c : all_cases()) check_case(c, 257);
}

TEST_CASE("cuda grad_alignment: sizes of a warp and a block, one more and one less") {
  for (size_t n : {0, 1, 3, 4, 31, 32, 33, 256, 1029}) {
    check_case({.gate = ElementGate::prob}, n);
    check_case({.gate = ElementGate::conjunction, .adam = false}, n);
    check_case({Estimator::welford, ElementGate::bernoulli, GateOn::update, false, true}, n);
  }
}

TEST_CASE("cuda grad_alignment: rules that are read there give the bits of those given") {
  constexpr size_t kHere = 261;
  constexpr int64_t kFirst = 5;  // a run that is not from the start
  const DeviceArray<float> phi(kHere);
  const auto there = [](GradAlignment a, const auto& use) {
    const AlignmentRules rules{a.rule_f,
                               a.rule_r,
                               {cuda::student_table(kStream, a.rule_f.degrees),
                                cuda::student_table(kStream, a.rule_r.degrees)},
                               a.gate.step,
                               a.update.optim};
    const DeviceArray<AlignmentRules> rules_there(std::vector<AlignmentRules>{rules});
    // what a step of which more were skipped would have said
    a.there = rules_there.data();
    for (StatisticsRule* r : {&a.rule_f, &a.rule_r})
      r->paper = {.newest = 0.5f, .kept = 0.5f}, r->ema = {.a = 0.3f, .spread = 1},
      r->welford = {.inverse = 0.5f, .scale = 1}, r->degrees = r->degrees == 0 ? 0 : 9;
    a.gate.step += 3;
    a.update.optim.adam.bias1 = a.update.optim.adam.bias2 = 0.7f, a.update.optim.adam.lr = 1;
    a.update.optim.sgd.lr = 1;
    use(a);
  };
  for (const Case& c : all_cases()) {
    CAPTURE(static_cast<int>(c.estimator));
    CAPTURE(static_cast<int>(c.gate));
    const auto run = [](const GradAlignment& a) {
      cuda::grad_alignment(kStream, kFirst, a);
      cuda::grad_alignment(kStream, kHere - kFirst, from(a, kFirst));
    };
    const Buffers got = on_device(c, kHere, [&](const GradAlignment& a) { there(a, run); });
    const Buffers same = on_device(c, kHere, run);
    for (size_t k = 0; k < kBuffers; ++k) CHECK(same_bits(got[k], same[k]));
    if (c.gate != ElementGate::focus) continue;
    const auto focus = [&](const GradAlignment& a) {
      cuda::focus_vector(kStream, kHere, a, phi.data());
    };
    on_device(c, kHere, focus);
    const Floats expected = phi.values();
    on_device(c, kHere, [&](const GradAlignment& a) { there(a, focus); });
    CHECK(same_bits(phi.values(), expected));
  }
}

TEST_CASE("cuda grad_alignment: runs that begin between whole vectors") {
  constexpr size_t kHere = 1029;
  for (const Case& c : {Case{.gate = ElementGate::focus}, Case{.gate = ElementGate::none},
                        Case{.estimator = Estimator::ema, .gate = ElementGate::prob}}) {
    CAPTURE(static_cast<int>(c.gate));
    const DeviceArray<float> phi(kHere);
    const Buffers got = on_device(c, kHere, [&](const GradAlignment& a) {
      for (const auto& [begin, end] : {std::pair{0, 3}, {3, 700}, {700, 1029}})
        cuda::grad_alignment(kStream, end - begin, from(a, begin));
    });
    const Buffers same = on_cpu(c, kHere);
    for (size_t k = 0; k < kBuffers; ++k) CHECK(same_bits(got[k], same[k]));
    Floats whole;
    for (const int64_t begin : {0, 1}) {
      on_device(c, kHere, [&](const GradAlignment& a) {
        if (begin > 0) cuda::focus_vector(kStream, begin, a, phi.data());
        cuda::focus_vector(kStream, kHere - begin, from(a, begin), phi.data() + begin);
      });
      if (begin == 0) whole = phi.values();
      CHECK(same_bits(phi.values(), whole));
    }
  }
}

TEST_CASE("cuda grad_alignment: sides with estimators of their own") {
  constexpr size_t kHere = 100;
  const Case c{.estimator = Estimator::ema, .gate = ElementGate::focus, .student = true};
  const auto mixed = [](GradAlignment a) {
    a.rule_f = {.estimator = Estimator::paper, .paper = {.newest = 0.9f, .kept = 0.1f}};
    return a;
  };
  const Buffers got = on_device(
      c, kHere, [&](const GradAlignment& a) { cuda::grad_alignment(kStream, kHere, mixed(a)); });
  Buffers b = start(kHere);
  std::array<float*, kBuffers> p{};
  for (size_t k = 0; k < kBuffers; ++k) p[k] = b[k].data();
  for (int t = 0; t < kSteps; ++t)
    grad_alignment(
        {}, kHere,
        mixed(step_at(c, t, 0, pointers(gradient(1, t).data(), gradient(2, t).data(), p))));
  for (size_t k = 0; k < kBuffers; ++k) CHECK(same_bits(got[k], b[k]));
}

TEST_CASE("cuda grad_alignment: phi alone; more distributions of Student than tables are kept") {
  constexpr size_t kHere = 100;
  for (Estimator estimator : {Estimator::paper, Estimator::ema}) {
    const Case c{.estimator = estimator, .student = true};
    const DeviceArray<float> phi(kHere);
    int t = 0;
    const auto degrees = [](GradAlignment a, int step) {
      if (a.rule_f.estimator == Estimator::ema) {
        a.rule_f.degrees = 1.5f + static_cast<float>(step);
        a.rule_r.degrees = 20.5f + static_cast<float>(step);
      }
      return a;
    };
    std::vector<Floats> got;
    on_device(c, kHere, [&](const GradAlignment& a) {
      cuda::focus_vector(kStream, kHere, degrees(a, t++), phi.data());
      got.push_back(phi.values());
    });
    Buffers b = start(kHere);
    std::array<float*, kBuffers> p{};
    for (size_t k = 0; k < kBuffers; ++k) p[k] = b[k].data();
    for (t = 0; t < kSteps; ++t) {
      Floats same(kHere);
      const auto a = step_at(c, t, 0, pointers(gradient(1, t).data(), gradient(2, t).data(), p));
      focus_vector({}, kHere, degrees(a, t), same.data());
      CHECK(same_bits(got[static_cast<size_t>(t)], same));
    }
  }
}

TEST_CASE("cuda grad_alignment: moments and weights that are given") {
  constexpr size_t kHere = 300;
  Floats error = gradient(1, 5), mean = gradient(1, 6), weight = gradient(2, 5);
  for (float& e : error) e *= e;
  for (bool own_mean : {true, false})
    for (ElementGate gate : {ElementGate::given, ElementGate::focus}) {
      Buffers b = start(kHere);
      const DeviceArray<float> dev_error(error), dev_mean(mean), dev_weight(weight), value(b[0]),
          m(b[1]), v(b[2]), g_f(gradient(1, 0)), g_r(gradient(2, 0));
      GradAlignment a = step_at({.gate = gate}, 0, 0,
                                {.g_f = gradient(1, 0).data(),
                                 .g_r = gradient(2, 0).data(),
                                 .value = b[0].data(),
                                 .first = b[1].data(),
                                 .second = b[2].data(),
                                 .state = {}});
      const float prior = 1e-4f;
      const DeviceArray<float> dev_prior(Floats{prior});
      a.rule_f = a.rule_r = {.estimator = Estimator::moments, .moments = {.prior = &prior}};
      a.weight = weight.data();
      a.state_f = a.state_r = {.s0 = error.data(), .s1 = own_mean ? mean.data() : nullptr};
      GradAlignment d = a;
      d.g_f = g_f.data(), d.g_r = g_r.data(), d.weight = dev_weight.data();
      d.value = value.data(), d.first = m.data(), d.second = v.data();
      d.rule_f.moments.prior = d.rule_r.moments.prior = dev_prior.data();
      d.state_f = d.state_r = {.s0 = dev_error.data(), .s1 = own_mean ? dev_mean.data() : nullptr};
      grad_alignment({}, kHere, a);
      cuda::grad_alignment(kStream, kHere, d);
      CHECK(same_bits(value.values(), b[0]));
      CHECK(same_bits(m.values(), b[1]));
      CHECK(same_bits(v.values(), b[2]));
    }
}

TEST_CASE("grad_alignment: a loss that is not finite stops the step, on both machines") {
  constexpr size_t kHere = 70;
  const Case c{.estimator = Estimator::ema, .gate = ElementGate::focus};
  const Buffers untouched = start(kHere), taken = on_device(c, kHere, [](const GradAlignment&a) {
                                            cuda::grad_alignment(kStream, kHere, a);
                                          });
  std::vector<Floats> losses{{1, 2, 3, 0}};
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF})
    for (size_t which = 0; which < kStepLosses; ++which)
      losses.emplace_back(kStepLosses, 0.0f), losses.back()[which] = bad;
  for (const Floats& of : losses) {
    const DeviceArray<float> there(of), phi(Floats(kHere, 7));
    const Buffers got = on_device(c, kHere, [&](GradAlignment a) {
      a.losses = there.data();
      cuda::grad_alignment(kStream, kHere, a);
      if (&of != &losses.front()) cuda::focus_vector(kStream, kHere, a, phi.data());
    });
    const Buffers& expected = &of == &losses.front() ? taken : untouched;
    for (size_t k = 0; k < kBuffers; ++k) CHECK(same_bits(got[k], expected[k]));
    CHECK(same_bits(phi.values(), Floats(kHere, 7)));

    Buffers b = start(kHere);
    std::array<float*, kBuffers> p{};
    for (size_t k = 0; k < kBuffers; ++k) p[k] = b[k].data();
    for (int t = 0; t < kSteps; ++t) {
      GradAlignment a = step_at(c, t, 0, pointers(gradient(1, t).data(), gradient(2, t).data(), p));
      a.losses = of.data();
      grad_alignment({}, kHere, a);
    }
    for (size_t k = 0; k < kBuffers; ++k) CHECK(same_bits(b[k], expected[k]));
  }
}

}  // namespace expunge::kernels
