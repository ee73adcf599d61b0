#include "kernels/batch_norm.h"

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

constexpr float kEps = 1e-5f;
constexpr BatchNormShape kShapes[] = {{2, 1, false},    {33, 3, true},   {100, 64, true},
                                      {700, 10, false}, {64, 260, true}, {5000, 4, true},
                                      {9000, 1, false}};

struct Moments {
  Floats mean, invstd, running_mean, running_var;
};

Moments in_double(const BatchNormShape& s, const Floats& x, const Moments& at_first) {
  Moments m = at_first;
  for (size_t c = 0; c < static_cast<size_t>(s.C); ++c) {
    const auto C = static_cast<size_t>(s.C);
    const auto n = static_cast<double>(s.pixels);
    double mean = 0, m2 = 0;
    for (size_t i = c; i < x.size(); i += C) mean += double{x[i]} / n;
    for (size_t i = c; i < x.size(); i += C) m2 += (double{x[i]} - mean) * (double{x[i]} - mean);
    m.mean[c] = static_cast<float>(mean);
    m.invstd[c] = static_cast<float>(1 / std::sqrt(m2 / n + double{kEps}));
    m.running_mean[c] = static_cast<float>(0.9 * double{m.running_mean[c]} + 0.1 * mean);
    m.running_var[c] = static_cast<float>(0.9 * double{m.running_var[c]} + 0.1 * m2 / (n - 1));
  }
  return m;
}

void find_statistics(const Batches<BatchNormStatistics>& of) {
  const DeviceArray<char> workspace(cuda::statistics_workspace(of));
  cuda::batch_norm_statistics(kStream, of, workspace.data());
}
void find_sums(const Batches<BatchNormSums>& of) {
  const DeviceArray<char> workspace(cuda::sums_workspace(of));
  cuda::batch_norm_sums(kStream, of, workspace.data());
}
void differentiate(const Batches<BatchNormBackward>& of) {
  const DeviceArray<float> slopes(3 * of.size() * static_cast<size_t>(of[0].shape.C));
  cuda::batch_norm_backward(kStream, of, slopes.data());
}

Moments on_cuda(const BatchNormShape& s, const Floats& x, const Moments& at_first) {
  const DeviceArray<float> dev_x(x), mean(at_first.mean), invstd(at_first.invstd),
      running_mean(at_first.running_mean), running_var(at_first.running_var);
  find_statistics(BatchNormStatistics{.shape = s,
                                      .x = dev_x.data(),
                                      .eps = kEps,
                                      .running = {running_mean.data(), running_var.data(), 0.1f},
                                      .mean = mean.data(),
                                      .invstd = invstd.data()});
  return {mean.values(), invstd.values(), running_mean.values(), running_var.values()};
}

}  // namespace

TEST_CASE("cuda batch norm: statistics against double, at a large mean as well") {
  for (const float shift : {0.0f, 300.0f})
    for (const BatchNormShape& s : kShapes) {
      CAPTURE(s.pixels);
      CAPTURE(s.C);
      CAPTURE(shift);
      Floats x = draw(s.pixels * s.C, 1);
      for (float& v : x) v += shift;
      const Moments first{draw(s.C, 2), draw(s.C, 3), draw(s.C, 4), draw(s.C, 5)};
      const Moments found = on_cuda(s, x, first), expected = in_double(s, x, first);
      check_near(found.mean, expected.mean, 1e-6);
      // the shifted values themselves are rounded to 3e-5
      check_near(found.invstd, expected.invstd, shift == 0 ? 2e-6 : 2e-5);
      check_near(found.running_mean, expected.running_mean, 1e-6);
      check_near(found.running_var, expected.running_var, shift == 0 ? 2e-6 : 2e-5);
    }
}

TEST_CASE("cuda batch norm: without running statistics; invstd of a variance") {
  const Floats x = draw(int64_t{60}, 1), var = {0.5f, 2, 3};
  const DeviceArray<float> dev_x(x), mean(3), invstd(3), dev_var(var), dev_invstd(3);
  find_statistics(BatchNormStatistics{.shape = {20, 3, false},
                                      .x = dev_x.data(),
                                      .eps = kEps,
                                      .running = {},
                                      .mean = mean.data(),
                                      .invstd = invstd.data()});
  CHECK(std::isfinite(invstd.values()[2]));
  cuda::batch_norm_invstd(kStream, 3, dev_var.data(), kEps, dev_invstd.data());
  Floats expected(3);
  batch_norm_invstd({}, 3, var.data(), kEps, expected.data());
  CHECK(same_bits(dev_invstd.values(), expected));
}

TEST_CASE("cuda batch norm: applied, the bits are those of the CPU") {
  for (const BatchNormShape& s : kShapes)
    for (const bool with_residual : {false, true}) {
      CAPTURE(s.pixels);
      CAPTURE(s.C);
      const int64_t n = s.pixels * s.C;
      const Floats x = draw(n, 1), mean = draw(s.C, 2), invstd = draw(s.C, 3), gamma = draw(s.C, 4),
                   beta = draw(s.C, 5), residual = draw(n, 6);
      const DeviceArray<float> dev_x(x), dev_mean(mean), dev_invstd(invstd), dev_gamma(gamma),
          dev_beta(beta), dev_residual(residual), dev_y(x.size());
      Floats y(x.size());
      const NormParameters here{mean.data(), invstd.data(), gamma.data(), beta.data()},
          there{dev_mean.data(), dev_invstd.data(), dev_gamma.data(), dev_beta.data()};
      const float* more = with_residual ? dev_residual.data() : nullptr;
      batch_norm_apply({}, BatchNormApply{s, x.data(), here,
                                          with_residual ? residual.data() : nullptr, y.data()});
      cuda::batch_norm_apply(kStream, BatchNormApply{s, dev_x.data(), there, more, dev_y.data()});
      CHECK(same_bits(dev_y.values(), y));
      // in place
      cuda::batch_norm_apply(kStream, BatchNormApply{s, dev_x.data(), there, more, dev_x.data()});
      CHECK(same_bits(dev_x.values(), y));
    }
}

TEST_CASE("cuda batch norm: sums of all rows and of some; gradients") {
  for (const BatchNormShape& s : kShapes)
    for (const float keep : {0.0f, 1.0f}) {
      CAPTURE(s.pixels);
      CAPTURE(s.C);
      const int64_t n = s.pixels * s.C, p0 = s.pixels / 3;
      const auto C = static_cast<size_t>(s.C);
      const Floats x = draw(n, 1), y = draw(n, 2), dy = draw(n, 3), mean = draw(s.C, 4),
                   invstd = draw(s.C, 5), gamma = draw(s.C, 6);
      const DeviceArray<float> dev_x(x), dev_y(y), dev_dy(dy), dev_mean(mean), dev_invstd(invstd),
          dev_gamma(gamma);
      const DeviceArray<double> dev_g(C), dev_gx(C);
      std::vector<double> sum_g(C), sum_gx(C);
      for (const int64_t begin : {p0, int64_t{0}}) {
        const BatchNormShape rows{s.pixels - begin, s.C, s.relu};
        const int64_t at = begin * s.C;
        batch_norm_sums({}, BatchNormSums{rows, x.data() + at, y.data() + at, dy.data() + at,
                                          mean.data(), invstd.data(), sum_g.data(), sum_gx.data()});
        find_sums(BatchNormSums{rows, dev_x.data() + at, dev_y.data() + at, dev_dy.data() + at,
                                dev_mean.data(), dev_invstd.data(), dev_g.data(), dev_gx.data()});
        // float within a thread, in another order: rounding of the number of terms, each near 1
        const double tolerance = 1e-7 * static_cast<double>(s.pixels);
        check_near(dev_g.values(), sum_g, tolerance);
        check_near(dev_gx.values(), sum_gx, tolerance);
      }
      const DeviceArray<double> same_g(sum_g), same_gx(sum_gx);
      const auto terms = [&](bool batch, auto&& of, const double* g, const double* gx, float* dx,
                             float* dr) {
        return BatchNormBackward{.shape = s,
                                 .x = of(x, dev_x),
                                 .y = of(y, dev_y),
                                 .dy = of(dy, dev_dy),
                                 .mean = of(mean, dev_mean),
                                 .invstd = of(invstd, dev_invstd),
                                 .gamma = of(gamma, dev_gamma),
                                 .sum_g = g,
                                 .sum_gx = gx,
                                 .batch = batch,
                                 .beta_dx = keep,
                                 .dx = dx,
                                 .beta_residual = keep,
                                 .dresidual = dr};
      };
      const auto host = [](const Floats& a, const DeviceArray<float>&) { return a.data(); };
      const auto device = [](const Floats&, const DeviceArray<float>& a) {
        return static_cast<const float*>(a.data());
      };
      for (const bool batch : {true, false}) {
        Floats dx = before(keep, n, 7), dr = before(keep, n, 8);
        const DeviceArray<float> dev_dx(dx), dev_dr(dr), only_dr(before(keep, n, 8)),
            only_dx(before(keep, n, 7));
        batch_norm_backward({},
                            terms(batch, host, sum_g.data(), sum_gx.data(), dx.data(), dr.data()));
        const auto run = [&](float* to_x, float* to_residual) {
          differentiate(terms(batch, device, same_g.data(), same_gx.data(), to_x, to_residual));
        };
        run(dev_dx.data(), dev_dr.data());
        run(only_dx.data(), nullptr);
        run(nullptr, only_dr.data());
        CHECK(same_bits(dev_dx.values(), dx));
        CHECK(same_bits(dev_dr.values(), dr));
        CHECK(same_bits(only_dx.values(), dx));
        CHECK(same_bits(only_dr.values(), dr));
      }
    }
}

TEST_CASE("batch norm: the gradients of gamma and beta are the sums, added to what is there") {
  constexpr int64_t C = 33;
  const std::vector<double> sum_g(C, 2.5), sum_gx(C, -3.25);
  const Floats ones(C, 1.0f);
  for (const float keep : {0.0f, 1.0f}) {
    Floats dgamma = before(keep, C, 1), dbeta = before(keep, C, 2);
    const Floats first_gamma = dgamma, first_beta = dbeta;
    const DeviceArray<float> dev_ones(ones), dev_gamma(dgamma), dev_beta(dbeta);
    const DeviceArray<double> dev_g(sum_g), dev_gx(sum_gx);
    const auto terms = [&](const float* one, const double* g, const double* gx, float* to_gamma,
                           float* to_beta) {
      return BatchNormBackward{.shape = {1, C, false},
                               .x = one,
                               .y = one,
                               .dy = one,
                               .mean = one,
                               .invstd = one,
                               .gamma = one,
                               .sum_g = g,
                               .sum_gx = gx,
                               .batch = true,
                               .beta_gamma = keep,
                               .dgamma = to_gamma,
                               .beta_beta = keep,
                               .dbeta = to_beta};
    };
    batch_norm_backward(
        {}, terms(ones.data(), sum_g.data(), sum_gx.data(), dgamma.data(), dbeta.data()));
    differentiate(
        terms(dev_ones.data(), dev_g.data(), dev_gx.data(), dev_gamma.data(), dev_beta.data()));
    CHECK(same_bits(dev_gamma.values(), dgamma));
    CHECK(same_bits(dev_beta.values(), dbeta));
    for (size_t c = 0; c < C; ++c) {
      CHECK(dgamma[c] == (keep == 0 ? 0 : first_gamma[c]) - 3.25f);
      CHECK(dbeta[c] == (keep == 0 ? 0 : first_beta[c]) + 2.5f);
    }
  }
}

TEST_CASE_TEMPLATE("cuda batch norm in 16 bits: what f32 gives for the same numbers, rounded once",
                   T, bf16, f16) {
  for (const BatchNormShape& s : kShapes) {
    CAPTURE(s.pixels);
    CAPTURE(s.C);
    const int64_t n = s.pixels * s.C;
    const auto C = static_cast<size_t>(s.C);
    const std::vector<T> x = rounded<T>(draw(n, 1)), dy = rounded<T>(draw(n, 2)),
                         residual = rounded<T>(draw(n, 3));
    const Floats wide_x = widened(x), gamma = draw(s.C, 4), beta = draw(s.C, 5);
    const Moments first{Floats(C), Floats(C), draw(s.C, 6), draw(s.C, 7)};
    const Moments expected = in_double(s, wide_x, first);
    const DeviceArray<T> dev_x(x), dev_dy(dy), dev_residual(residual), dev_y(x.size()),
        dev_dx(x.size()), dev_dr(x.size());
    const DeviceArray<float> running_mean(first.running_mean), running_var(first.running_var),
        mean(C), invstd(C), dev_gamma(gamma), dev_beta(beta);
    find_statistics(BatchNormStatistics{s,
                                        dev_x.data(),
                                        kEps,
                                        {running_mean.data(), running_var.data(), 0.1f},
                                        mean.data(),
                                        invstd.data()});
    check_near(mean.values(), expected.mean, 1e-6);
    check_near(invstd.values(), expected.invstd, 2e-6);
    check_near(running_var.values(), expected.running_var, 2e-6);

    const Floats found_mean = mean.values(), found_invstd = invstd.values();
    Floats y(x.size());
    batch_norm_apply(
        {}, BatchNormApply{s,
                           wide_x.data(),
                           {found_mean.data(), found_invstd.data(), gamma.data(), beta.data()},
                           widened(residual).data(),
                           y.data()});
    cuda::batch_norm_apply(
        kStream, BatchNormApply{s,
                                dev_x.data(),
                                {mean.data(), invstd.data(), dev_gamma.data(), dev_beta.data()},
                                dev_residual.data(),
                                dev_y.data()});
    CHECK(same_bits(dev_y.values(), rounded<T>(y)));

    const Floats wide_y = widened(dev_y.values()), wide_dy = widened(dy);
    std::vector<double> sum_g(C), sum_gx(C);
    const DeviceArray<double> dev_g(C), dev_gx(C);
    batch_norm_sums(
        {}, BatchNormSums{s, wide_x.data(), wide_y.data(), wide_dy.data(), found_mean.data(),
                          found_invstd.data(), sum_g.data(), sum_gx.data()});
    find_sums(BatchNormSums{s, dev_x.data(), dev_y.data(), dev_dy.data(), mean.data(),
                            invstd.data(), dev_g.data(), dev_gx.data()});
    const double tolerance = 1e-7 * static_cast<double>(s.pixels);
    check_near(dev_g.values(), sum_g, tolerance);
    check_near(dev_gx.values(), sum_gx, tolerance);

    const std::vector<double> same_g = dev_g.values(), same_gx = dev_gx.values();
    Floats dx(x.size()), dr(x.size());
    batch_norm_backward({}, BatchNormBackward{.shape = s,
                                              .x = wide_x.data(),
                                              .y = wide_y.data(),
                                              .dy = wide_dy.data(),
                                              .mean = found_mean.data(),
                                              .invstd = found_invstd.data(),
                                              .gamma = gamma.data(),
                                              .sum_g = same_g.data(),
                                              .sum_gx = same_gx.data(),
                                              .batch = true,
                                              .dx = dx.data(),
                                              .dresidual = dr.data()});
    differentiate(BatchNormBackward{.shape = s,
                                    .x = dev_x.data(),
                                    .y = dev_y.data(),
                                    .dy = dev_dy.data(),
                                    .mean = mean.data(),
                                    .invstd = invstd.data(),
                                    .gamma = dev_gamma.data(),
                                    .sum_g = dev_g.data(),
                                    .sum_gx = dev_gx.data(),
                                    .batch = true,
                                    .dx = dev_dx.data(),
                                    .dresidual = dev_dr.data()});
    CHECK(same_bits(dev_dx.values(), rounded<T>(dx)));
    CHECK(same_bits(dev_dr.values(), rounded<T>(dr)));
  }
}

}  // namespace expunge::kernels
