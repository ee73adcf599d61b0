#include "cuda/batch_norm_calls.h"

// Gradients of batch norm on a device: the CPU's bits, on numbers whose sums are exact.
namespace expunge::kernels {
namespace {

// All that a gradient is made of, on both machines. Outputs of the CPU's.
struct Gradient {
  BatchNormShape s;
  int64_t n = s.pixels * s.C;
  Floats x = eighths(n, 1), y = eighths(n, 2), dy = eighths(n, 3), mean = eighths(s.C, 4),
         invstd = draw(s.C, 5), gamma = draw(s.C, 6), beta = draw(s.C, 7);
  Floats line = line_of(mean, invstd, gamma, beta);
  DeviceArray<float> dev_x{x}, dev_y{y}, dev_dy{dy}, dev_mean{mean}, dev_invstd{invstd},
      dev_gamma{gamma}, dev_line{line};

  // Rows from `row` on, as that machine has them; by_output: the mask is y's.
  BatchNormGradient on(Device machine, bool by_output, int64_t row = 0) const {
    const auto of = [&](const Floats& here, const DeviceArray<float>& there) -> const float* {
      return machine == Device::cpu ? here.data() : there.data();
    };
    const int64_t at = row * s.C;
    return {{s.pixels - row, s.C, s.relu},
            of(x, dev_x) + at,
            by_output ? of(y, dev_y) + at : nullptr,
            of(dy, dev_dy) + at,
            of(mean, dev_mean),
            of(invstd, dev_invstd),
            of(line, dev_line)};
  }
};

}  // namespace

TEST_CASE("cuda batch norm: sums of all rows and of some, the bits of the CPU") {
  for (const BatchNormShape& s : kShapes) {
    const Gradient of{s};
    for (const bool by_output : {true, false}) {
      CAPTURE(s.pixels);
      CAPTURE(s.C);
      CAPTURE(by_output);
      const auto C = static_cast<size_t>(s.C);
      const DeviceArray<double> dev_g(C), dev_gx(C);
      std::vector<double> sum_g(C), sum_gx(C);
      for (const int64_t row : {s.pixels / 3, int64_t{0}}) {
        batch_norm_sums(
            {}, BatchNormSums{of.on(Device::cpu, by_output, row), sum_g.data(), sum_gx.data()});
        find_sums(BatchNormSums{of.on(Device::cuda, by_output, row), dev_g.data(), dev_gx.data()});
        CHECK(same_bits(dev_g.values(), sum_g));
        CHECK(same_bits(dev_gx.values(), sum_gx));
      }
    }
  }
}

TEST_CASE("cuda batch norm: gradients, the bits of the CPU") {
  for (const BatchNormShape& s : kShapes) {
    const Gradient of{s};
    for (const float keep : {0.0f, 1.0f})
      for (const auto& [batch, by_output] :
           {std::pair{true, true}, {true, false}, {false, true}, {false, false}}) {
        CAPTURE(s.pixels);
        CAPTURE(s.C);
        CAPTURE(batch);
        CAPTURE(by_output);
        Floats dx = before(keep, of.n, 7), dr = before(keep, of.n, 8),
               dgamma = before(keep, s.C, 9), dbeta = before(keep, s.C, 10);
        const DeviceArray<float> dev_dx(dx), dev_dr(dr), dev_dgamma(dgamma), dev_dbeta(dbeta),
            only_dr(dr), only_dx(dx), only_dgamma(dgamma);
        const auto run = [&](Stream stream, float* to_x, float* to_residual, float* to_gamma,
                             float* to_beta) {
          const bool on_cpu = stream.device == Device::cpu;
          const BatchNormBackward t{.in = of.on(stream.device, by_output),
                                    .gamma = on_cpu ? of.gamma.data() : of.dev_gamma.data(),
                                    .batch = batch,
                                    .beta_dx = keep,
                                    .dx = to_x,
                                    .beta_residual = keep,
                                    .dresidual = to_residual,
                                    .beta_gamma = keep,
                                    .dgamma = to_gamma,
                                    .beta_beta = keep,
                                    .dbeta = to_beta};
          on_cpu ? batch_norm_backward({}, t) : differentiate(t);
        };
        run({}, dx.data(), dr.data(), dgamma.data(), dbeta.data());
        run(kStream, dev_dx.data(), dev_dr.data(), dev_dgamma.data(), dev_dbeta.data());
        CHECK(same_bits(dev_dx.values(), dx));
        CHECK(same_bits(dev_dr.values(), dr));
        CHECK(same_bits(dev_dgamma.values(), dgamma));
        CHECK(same_bits(dev_dbeta.values(), dbeta));
        if (!batch || !by_output) continue;  // each alone: once is enough, it takes its time
        run(kStream, only_dx.data(), nullptr, nullptr, nullptr);
        run(kStream, nullptr, only_dr.data(), nullptr, nullptr);
        run(kStream, nullptr, nullptr, only_dgamma.data(), nullptr);
        CHECK(same_bits(only_dx.values(), dx));
        CHECK(same_bits(only_dr.values(), dr));
        CHECK(same_bits(only_dgamma.values(), dgamma));
      }
  }
}

TEST_CASE("batch norm: the gradients of gamma and beta are the sums, added to what is there") {
  const Gradient of{{40, 33, true}};
  const auto C = static_cast<size_t>(of.s.C);
  std::vector<double> sum_g(C), sum_gx(C);
  batch_norm_sums({}, BatchNormSums{of.on(Device::cpu, true), sum_g.data(), sum_gx.data()});
  for (const float keep : {0.0f, 1.0f}) {
    Floats dgamma = before(keep, of.s.C, 1), dbeta = before(keep, of.s.C, 2);
    const Floats first_gamma = dgamma, first_beta = dbeta;
    batch_norm_backward({}, BatchNormBackward{.in = of.on(Device::cpu, true),
                                              .gamma = of.gamma.data(),
                                              .batch = true,
                                              .beta_gamma = keep,
                                              .dgamma = dgamma.data(),
                                              .beta_beta = keep,
                                              .dbeta = dbeta.data()});
    for (size_t c = 0; c < C; ++c) {
      const double was_gamma = keep == 0 ? 0 : double{first_gamma[c]},
                   was_beta = keep == 0 ? 0 : double{first_beta[c]};
      CHECK(dgamma[c] == static_cast<float>(was_gamma + sum_gx[c]));
      CHECK(dbeta[c] == static_cast<float>(was_beta + sum_g[c]));
    }
  }
}

TEST_CASE_TEMPLATE("numbers that rounding makes 0: the largest of each type", T, float, bf16, f16) {
  const float largest = kRoundsToZero<T>;
  CHECK(to_float(from_float<T>(largest)) == 0);
  CHECK(to_float(from_float<T>(std::nextafter(largest, 1.0f))) > 0);
}

TEST_CASE_TEMPLATE("cuda batch norm: where the ReLU let through, from x as from the output", T,
                   float, bf16, f16) {
  // outputs of size 1, and such as their type's smallest numbers, so that some are rounded to 0
  for (const float size : {1.0f, 2 * kRoundsToZero<T>}) {
    if (size == 0) continue;
    CAPTURE(size);
    const BatchNormShape s{200, 16, true};
    const int64_t n = s.pixels * s.C;
    const std::vector<T> x = rounded<T>(draw(n, 1)), dy = rounded<T>(draw(n, 2));
    const Floats gamma(16, size), beta = draw(s.C, 3);
    Floats mean(16), invstd(16, 1.0f), line = line_of(mean, invstd, gamma, Floats(16, size / 8));
    const DeviceArray<T> dev_x(x), dev_dy(dy), y(x.size()), dx(x.size()), again(x.size());
    const DeviceArray<float> dev_mean(mean), dev_invstd(invstd), dev_gamma(gamma), dev_line(line);
    cuda::batch_norm_apply(
        kStream, BatchNormApply{s, dev_x.data(), dev_line.data(), ConstValues{}, y.data()});
    const auto run = [&](ConstValues output, const DeviceArray<T>& to) {
      differentiate(BatchNormBackward{.in = {s, dev_x.data(), output, dev_dy.data(),
                                             dev_mean.data(), dev_invstd.data(), dev_line.data()},
                                      .gamma = dev_gamma.data(),
                                      .batch = true,
                                      .dresidual = to.data()});
    };
    run(y.data(), dx);
    run(nullptr, again);
    CHECK(same_bits(again.values(), dx.values()));
    int64_t zeros = 0;
    const Floats stored = widened(y.values());
    for (const float v : stored) zeros += v == 0;
    CHECK(zeros > n / 10);
    CHECK(zeros < n * 9 / 10);
  }
}

}  // namespace expunge::kernels
