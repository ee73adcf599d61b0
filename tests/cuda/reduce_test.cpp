#include "kernels/reduce.h"

#include "cuda/both.h"
#include "kernels/columns.h"
#include "kernels/conv2d.h"
#include "kernels/optim_step.h"

namespace expunge::kernels {
namespace {

using namespace test;

double in_double(Term term, const Floats& x, const Floats& y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i];
    sum += term == Term::absolute   ? std::abs(v)
           : term == Term::square   ? v * v
           : term == Term::product  ? v * double{y[i]}
           : term == Term::positive ? (v > 0 ? 1 : 0)
           : term == Term::zero     ? 0 * v
                                    : v;
  }
  return sum;
}

// sum_rows against the CPU's.
void check_sum_rows(int64_t rows, int64_t C, float beta) {
  CAPTURE(rows);
  CAPTURE(C);
  const Floats x = draw(rows * C, 1);
  Floats out = before(beta, C, 2);
  const DeviceArray<float> dev_x(x), dev_out(out);
  const DeviceArray<char> workspace(cuda::sum_workspace(rows, C));
  sum_rows({}, rows, C, x.data(), beta, out.data());
  cuda::sum_rows(kStream, rows, C, dev_x.data(), beta, dev_out.data(), workspace.data());
  check_near(dev_out.values(), out, 1e-6);
}

// SGD, Nesterov, Adam, AdamW
OptimStep step_of(int variant) {
  return {.rule = {.is_adam = variant > 1,
                   .sgd = {.lr = 0.1f,
                           .momentum = 0.9f,
                           .weight_decay = 5e-4f,
                           .nesterov = variant == 1},
                   .adam = {.lr = 1e-3f,
                            .beta1 = 0.9f,
                            .beta2 = 0.999f,
                            .eps = 1e-8f,
                            .weight_decay = 0.01f,
                            .bias1 = 0.1f,
                            .bias2 = 1e-3f,
                            .decoupled = variant == 3}},
          .grad_scale = 0.5f};
}

// Steps of numbers [from, n), after losses that are finite and that are not; against the CPU's.
void check_optim_step(size_t n, size_t from, int variant) {
  CAPTURE(n);
  CAPTURE(from);
  CAPTURE(variant);
  const auto count = static_cast<int64_t>(n - from);
  const OptimStep step = step_of(variant);
  const Floats g = draw(n, 1);
  Floats value = draw(n, 2), state = draw(n, 3), square = draw(n, 4);
  for (float& v : square) v = std::abs(v);
  const Floats before = value;
  const DeviceArray<float> dev_g(g), dev_value(value), dev_state(state), dev_square(square);
  const DeviceArray<OptimStep> dev_step(std::vector<OptimStep>{step});
  const auto second = [&](float* squares) { return step.rule.is_adam ? squares + from : nullptr; };
  for (const Floats& losses :
       {Floats{1, 0}, {std::nanf(""), 0}, {INFINITY, 0}, {1, INFINITY}, {}}) {
    const DeviceArray<float> dev_losses(losses);
    const float* there = losses.empty() ? nullptr : dev_losses.data();
    optim_step({}, count, &step, losses.data(), g.data() + from, value.data() + from,
               state.data() + from, second(square.data()));
    cuda::optim_step(kStream, count, dev_step.data(), there, dev_g.data() + from,
                     dev_value.data() + from, dev_state.data() + from, second(dev_square.data()));
    CHECK(same_bits(dev_value.values(), value));
    CHECK(same_bits(dev_state.values(), state));
    CHECK(same_bits(dev_square.values(), square));
  }
  CHECK((count == 0 || !same_bits(before, value)));
}

}  // namespace

TEST_CASE("cuda sums: every term against double, to a double and to a float") {
  for (const size_t n :
       {size_t{0}, size_t{1}, size_t{33}, size_t{2048}, size_t{2049}, size_t{9001}})
    for (const Term term :
         {Term::value, Term::absolute, Term::square, Term::product, Term::positive, Term::zero}) {
      CAPTURE(n);
      CAPTURE(static_cast<int>(term));
      const auto count = static_cast<int64_t>(n);
      const Floats x = draw(n, 1), y = draw(n, 2);
      const DeviceArray<float> dev_x(x), dev_y(y), number(1);
      const DeviceArray<double> out(1);
      const DeviceArray<char> workspace(cuda::sum_workspace(count, 1));
      cuda::sum(kStream, term, count, dev_x.data(), dev_y.data(), out.data(), workspace.data());
      const double expected = in_double(term, x, y);
      check_near(out.values(), {expected}, 1e-13 * static_cast<double>(n + 1));
      if (term == Term::product) continue;
      cuda::sum_to(kStream, term, count, dev_x.data(), 3.0, number.data(), workspace.data());
      check_near(number.values(), {static_cast<float>(expected / 3)}, 1e-6);
    }
}

TEST_CASE("cuda sums: of zeros finite, unless a value is not") {
  Floats x = draw(size_t{5000}, 1);
  for (const float value : {0.0f, std::nanf(""), HUGE_VALF}) {
    x[4321] = value;
    const DeviceArray<float> dev_x(x);
    const DeviceArray<double> out(1);
    const DeviceArray<char> workspace(cuda::sum_workspace(5000, 1));
    cuda::sum(kStream, Term::zero, 5000, dev_x.data(), nullptr, out.data(), workspace.data());
    CHECK(std::isfinite(out.values()[0]) == (value == 0.0f));
  }
}

TEST_CASE("cuda sums over rows: like the CPU's, added to what is there") {
  for (const int64_t C : {1, 3, 4, 33, 128, 260})
    for (const int64_t rows : {0, 1, 31, 64, 65, 1500})  // one part and more
      for (const float beta : {0.0f, 1.0f}) check_sum_rows(rows, C, beta);
}

// As the sums of conv2d_taps are.
TEST_CASE("cuda sums over rows: of many columns all rows are one part") {
  constexpr int64_t kMany = ColumnGrid::kManyBlocks * 32 * 4;
  CHECK(ColumnGrid(65, kMany).parts() == 1);
  CHECK(ColumnGrid(65, kMany / 2).parts() == 2);
  for (const int64_t C : {kMany, kMany + 1}) {
    CHECK(ColumnGrid(0, C).parts() == 0);
    check_sum_rows(65, C, 1.0f);
  }
}

TEST_CASE("cuda sums in double to a float gradient; a bias to every row") {
  const Floats sums = draw(size_t{300}, 1);
  const std::vector<double> in(sums.begin(), sums.end());
  const DeviceArray<double> dev_in(in);
  for (const float beta : {0.0f, 1.0f}) {
    Floats out = before(beta, 300, 2);
    const DeviceArray<float> dev_out(out);
    add_sums({}, 300, in.data(), beta, out.data());
    cuda::add_sums(kStream, 300, dev_in.data(), beta, dev_out.data());
    CHECK(same_bits(dev_out.values(), out));
  }
  for (const int64_t K : {1, 10, 64}) {
    const Floats bias = draw(K, 3);
    Floats y = draw(7 * K, 4);
    const DeviceArray<float> dev_bias(bias), dev_y(y);
    cuda::add_bias(kStream, 7, K, dev_bias.data(), dev_y.data());
    for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i % static_cast<size_t>(K)];
    CHECK(same_bits(dev_y.values(), y));
  }
}

TEST_CASE("cuda optimizers: a step has the bits of the CPU, and is not taken after a NaN") {
  for (const size_t n : kSizes)
    for (const int variant : {0, 1, 2, 3}) {
      check_optim_step(n, 0, variant);
      if (n > 1) check_optim_step(n, 1, variant);  // between whole vectors
    }
}

TEST_CASE("cuda optimizers: clipping has the bits of the CPU, and leaves what is short enough") {
  constexpr float kMost = 2.5f;
  for (const double squares : {0.0, 4.0, 1e6, HUGE_VAL, std::nan("")}) {
    std::vector<OptimStep> steps(3);
    for (size_t k = 0; k < 3; ++k) steps[k].grad_scale = std::ldexp(0.5f, static_cast<int>(k));
    const std::vector<OptimStep> before = steps;
    const DeviceArray<OptimStep> dev_steps(steps);
    const DeviceArray<double> dev_squares(std::vector<double>{squares});
    const DeviceArray<float> dev_norm(Floats{-1});
    float norm = -1;
    clip({}, &squares, kMost, 1, steps.data(), &norm);
    clip({}, &squares, kMost, 2, steps.data() + 1, nullptr);
    cuda::clip(kStream, dev_squares.data(), kMost, 3, dev_steps.data(), dev_norm.data());
    const float there = dev_norm.values()[0];
    CHECK((there == norm || (std::isnan(there) && std::isnan(norm))));
    CHECK((norm == static_cast<float>(std::sqrt(squares) / 2) || std::isnan(squares)));
    for (size_t k = 0; k < 3; ++k) {
      const double scale = double{before[k].grad_scale}, length = std::sqrt(squares) * scale;
      CHECK(dev_steps.values()[k].grad_scale == steps[k].grad_scale);
      CHECK(steps[k].grad_scale ==
            doctest::Approx(length > kMost ? scale * kMost / length : scale));
    }
  }
}

}  // namespace expunge::kernels
