#include "cuda/batch_norm_calls.h"

namespace expunge::kernels {
namespace {

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

// Checks the line too.
Moments on_cuda(const BatchNormShape& s, const Floats& x, const Moments& at_first) {
  const Floats gamma = draw(s.C, 6), beta = draw(s.C, 7);
  const DeviceArray<float> dev_x(x), mean(at_first.mean), invstd(at_first.invstd),
      running_mean(at_first.running_mean), running_var(at_first.running_var), dev_gamma(gamma),
      dev_beta(beta), line(2 * gamma.size());
  find_statistics(BatchNormStatistics{.shape = s,
                                      .x = dev_x.data(),
                                      .eps = kEps,
                                      .running = {running_mean.data(), running_var.data(), 0.1f},
                                      .gamma = dev_gamma.data(),
                                      .beta = dev_beta.data(),
                                      .mean = mean.data(),
                                      .invstd = invstd.data(),
                                      .line = line.data()});
  CHECK(same_bits(line.values(), line_of(mean.values(), invstd.values(), gamma, beta)));
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

TEST_CASE("cuda batch norm: a value far from all others, also where the centre is taken") {
  const BatchNormShape s{4000, 3, false};
  const Moments first{Floats(3), Floats(3), Floats(3), Floats(3)};
  for (const size_t far : {size_t{0}, size_t{500}, size_t{3999}}) {
    CAPTURE(far);
    Floats x = draw(s.pixels * s.C, 1);
    x[3 * far + 1] = 200;
    const Moments found = on_cuda(s, x, first), expected = in_double(s, x, first);
    check_near(found.mean, expected.mean, 1e-6);
    check_near(found.invstd, expected.invstd, 2e-5);
  }
}

TEST_CASE("cuda batch norm: images whose corners are not like the rest") {
  constexpr int64_t kImages = 16, kPixels = 64 * 64, C = 2;
  Floats x = draw(kImages * kPixels * C, 1);
  for (float& v : x) v = 1 + 0.001f * v;
  for (size_t image = 0; image < kImages; ++image) x[image * kPixels * C] = 0;
  const Moments first{Floats(C), Floats(C), Floats(C), Floats(C)};
  const BatchNormShape s{kImages * kPixels, C, false};
  const Moments found = on_cuda(s, x, first), expected = in_double(s, x, first);
  check_near(found.mean, expected.mean, 1e-7);
  check_near(found.running_var, expected.running_var, 1e-7);
  CHECK(std::abs(found.invstd[0] / expected.invstd[0] - 1) <= 1e-6f);
}

TEST_CASE("cuda batch norm: without running statistics; known ones") {
  const Floats x = draw(int64_t{60}, 1), mean = {0.25f, -1, 3}, var = {0.5f, 2, 3},
               gamma = {1, 2, -1}, beta = {0, 1, 2};
  const DeviceArray<float> dev_x(x), dev_mean(mean), dev_var(var), dev_gamma(gamma), dev_beta(beta),
      batch_mean(3), invstd(3), line(6);
  find_statistics(BatchNormStatistics{.shape = {20, 3, false},
                                      .x = dev_x.data(),
                                      .eps = kEps,
                                      .running = {},
                                      .gamma = dev_gamma.data(),
                                      .beta = dev_beta.data(),
                                      .mean = batch_mean.data(),
                                      .invstd = invstd.data(),
                                      .line = line.data()});
  CHECK(std::isfinite(invstd.values()[2]));
  CHECK(std::isfinite(line.values()[5]));
  const auto known = [](const auto& m, const auto& v, const auto& g, const auto& b, auto& r,
                        auto& l) {
    return BatchNormKnown{3, m.data(), v.data(), kEps, g.data(), b.data(), r.data(), l.data()};
  };
  cuda::batch_norm_known(kStream, known(dev_mean, dev_var, dev_gamma, dev_beta, invstd, line));
  Floats expected(3), expected_line(6);
  batch_norm_known({}, known(mean, var, gamma, beta, expected, expected_line));
  CHECK(same_bits(invstd.values(), expected));
  CHECK(same_bits(line.values(), expected_line));
  CHECK(same_bits(expected_line, line_of(mean, expected, gamma, beta)));
}

TEST_CASE("cuda batch norm: applied, the bits are those of the CPU") {
  for (const BatchNormShape& s : kShapes)
    for (const bool with_residual : {false, true}) {
      CAPTURE(s.pixels);
      CAPTURE(s.C);
      const int64_t n = s.pixels * s.C;
      const Floats x = draw(n, 1), line = draw(2 * s.C, 2), residual = draw(n, 6);
      const DeviceArray<float> dev_x(x), dev_line(line), dev_residual(residual), dev_y(x.size());
      Floats y(x.size());
      const float* more = with_residual ? dev_residual.data() : nullptr;
      batch_norm_apply({}, BatchNormApply{s, x.data(), line.data(),
                                          with_residual ? residual.data() : nullptr, y.data()});
      cuda::batch_norm_apply(kStream,
                             BatchNormApply{s, dev_x.data(), dev_line.data(), more, dev_y.data()});
      CHECK(same_bits(dev_y.values(), y));
      // in place
      cuda::batch_norm_apply(kStream,
                             BatchNormApply{s, dev_x.data(), dev_line.data(), more, dev_x.data()});
      CHECK(same_bits(dev_x.values(), y));
    }
}

TEST_CASE_TEMPLATE("cuda batch norm: beside another whose output is added, as of two operations", T,
                   float, bf16, f16) {
  for (const BatchNormShape& s : kShapes) {
    CAPTURE(s.C);
    const int64_t n = s.pixels * s.C;
    const std::vector<T> x = rounded<T>(draw(n, 1)), other = rounded<T>(draw(n, 2));
    const Floats line = draw(2 * s.C, 3), other_line = draw(2 * s.C, 4);
    const DeviceArray<T> dev_x(x), dev_other(other), between(x.size()), y(x.size()),
        expected(x.size());
    const DeviceArray<float> dev_line(line), dev_other_line(other_line);
    cuda::batch_norm_apply(kStream,
                           BatchNormApply{.shape = {s.pixels, s.C, false},
                                          .x = dev_other.data(),
                                          .line = dev_other_line.data(),
                                          .residual = {},
                                          .y = between.data()});
    cuda::batch_norm_apply(
        kStream,
        BatchNormApply{s, dev_x.data(), dev_line.data(), between.data(), expected.data()});
    cuda::batch_norm_apply(kStream, BatchNormApply{.shape = s,
                                                   .x = dev_x.data(),
                                                   .line = dev_line.data(),
                                                   .residual = dev_other.data(),
                                                   .y = y.data(),
                                                   .residual_line = dev_other_line.data()});
    CHECK(same_bits(y.values(), expected.values()));
    Floats here(x.size());
    const Floats wide_x = widened(x), wide_other = widened(other);
    if (!std::is_same_v<T, float>) continue;
    batch_norm_apply({}, BatchNormApply{.shape = s,
                                        .x = wide_x.data(),
                                        .line = line.data(),
                                        .residual = wide_other.data(),
                                        .y = here.data(),
                                        .residual_line = other_line.data()});
    CHECK(same_bits(here, widened(y.values())));
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
        mean(C), invstd(C), line(2 * C), dev_gamma(gamma), dev_beta(beta);
    find_statistics(BatchNormStatistics{s,
                                        dev_x.data(),
                                        kEps,
                                        {running_mean.data(), running_var.data(), 0.1f},
                                        dev_gamma.data(),
                                        dev_beta.data(),
                                        mean.data(),
                                        invstd.data(),
                                        line.data()});
    check_near(mean.values(), expected.mean, 1e-6);
    check_near(invstd.values(), expected.invstd, 2e-6);
    check_near(running_var.values(), expected.running_var, 2e-6);

    const Floats found_mean = mean.values(), found_invstd = invstd.values(),
                 found_line = line.values();
    Floats y(x.size());
    batch_norm_apply({}, BatchNormApply{s, wide_x.data(), found_line.data(),
                                        widened(residual).data(), y.data()});
    cuda::batch_norm_apply(
        kStream, BatchNormApply{s, dev_x.data(), line.data(), dev_residual.data(), dev_y.data()});
    CHECK(same_bits(dev_y.values(), rounded<T>(y)));

    const Floats wide_y = widened(dev_y.values()), wide_dy = widened(dy);
    const BatchNormGradient here{s,
                                 wide_x.data(),
                                 wide_y.data(),
                                 wide_dy.data(),
                                 found_mean.data(),
                                 found_invstd.data(),
                                 found_line.data()},
        there{s,           dev_x.data(),  dev_y.data(), dev_dy.data(),
              mean.data(), invstd.data(), line.data()};
    std::vector<double> sum_g(C), sum_gx(C);
    const DeviceArray<double> dev_g(C), dev_gx(C);
    batch_norm_sums({}, BatchNormSums{here, sum_g.data(), sum_gx.data()});
    find_sums(BatchNormSums{there, dev_g.data(), dev_gx.data()});
    // float within a thread, in another order: rounding of the number of terms, each near 1
    const double tolerance = 1e-7 * static_cast<double>(s.pixels);
    check_near(dev_g.values(), sum_g, tolerance);
    check_near(dev_gx.values(), sum_gx, tolerance);

    Floats dx(x.size()), dr(x.size());
    batch_norm_backward({}, BatchNormBackward{.in = here,
                                              .gamma = gamma.data(),
                                              .batch = true,
                                              .dx = dx.data(),
                                              .dresidual = dr.data()});
    differentiate(BatchNormBackward{.in = there,
                                    .gamma = dev_gamma.data(),
                                    .batch = true,
                                    .dx = dev_dx.data(),
                                    .dresidual = dev_dr.data()});
    CHECK(same_bits(dev_dr.values(), rounded<T>(dr)));
    // one rounding to T more, and that of the sums
    constexpr double kRounding = std::is_same_v<T, bf16> ? 0x1p-8 : 0x1p-11;
    check_near(widened(dev_dx.values()), dx, kRounding + 1e-6);
  }
}

}  // namespace expunge::kernels
