#include <array>

#include "cuda/batch_norm_calls.h"

// Two batches in the same launches, as a joint pass has them: the bits that each gets alone.
namespace expunge::kernels {
namespace {

template <class T>
using Pair = std::array<T, 2>;

// What a batch has on the device; outputs hold something before.
template <class T>
struct Batch {
  BatchNormShape s;
  int64_t width;        // 0, or it is pooled
  bool scales = false;  // the residual
  DeviceArray<T> x, dy, residual, y, dx, dr;
  DeviceArray<float> mean, invstd, line, dgamma, dbeta;
  DeviceArray<double> sum_g, sum_gx;
  DeviceArray<uint8_t> which;

  Batch(const BatchNormShape& shape, uint64_t key, int64_t columns)
      : s(shape),
        width(columns),
        x(values(key)),
        dy(values(key + 1)),
        residual(values(key + 2)),
        y(values(key + 3)),
        dx(values(key + 4)),
        dr(values(key + 5)),
        mean(channels()),
        invstd(channels()),
        line(2 * channels()),
        dgamma(draw(s.C, key + 6)),
        dbeta(draw(s.C, key + 7)),
        sum_g(channels()),
        sum_gx(channels()),
        which(std::vector<uint8_t>(static_cast<size_t>(s.pixels * s.C), 3)) {}
  NormPool pool() const { return {width, which.data()}; }
  size_t channels() const { return static_cast<size_t>(s.C); }
  std::vector<T> values(uint64_t key) const { return rounded<T>(draw(s.pixels * s.C, key)); }

  BatchNormStatistics statistics(const float* gamma, const float* beta,
                                 const RunningStatistics& running) const {
    return {s, x.data(), 1e-5f, running, gamma, beta, mean.data(), invstd.data(), line.data()};
  }
  BatchNormApply apply(bool adds) const {
    return {s,
            x.data(),
            line.data(),
            adds ? residual.data() : nullptr,
            y.data(),
            pool(),
            scales && adds ? line.data() : nullptr};
  }
  // by_output: something was added
  BatchNormGradient gradient(bool by_output) const {
    return {s,           x.data(),    by_output ? y.data() : nullptr,
            dy.data(),   mean.data(), invstd.data(),
            line.data(), pool()};
  }
  BatchNormSums sums(bool by_output) const {
    return {gradient(by_output), sum_g.data(), sum_gx.data()};
  }
  // batch: by statistics of its own; otherwise nobody wants dx
  BatchNormBackward backward(const float* gamma, float keep, bool batch, bool by_output) const {
    return {.in = gradient(by_output),
            .gamma = gamma,
            .batch = batch,
            .beta_dx = keep,
            .dx = batch ? dx.data() : nullptr,
            .beta_residual = 0,
            .dresidual = width > 0 ? nullptr : dr.data(),
            .beta_gamma = keep,
            .dgamma = dgamma.data(),
            .beta_beta = 0,
            .dbeta = dbeta.data()};
  }
};

// All four steps of both batches; the second moves the running statistics or does not.
template <class T>
struct Run {
  Pair<Batch<T>> of;
  DeviceArray<float> gamma, beta, running_mean, running_var;
  bool moves;

  Run(const BatchNormShape& first, const BatchNormShape& second, bool second_moves,
      int64_t width = 0)
      : of{Batch<T>(first, 10, width), Batch<T>(second, 20, width)},
        gamma(draw(first.C, 1)),
        beta(draw(first.C, 2)),
        running_mean(draw(first.C, 3)),
        running_var(draw(first.C, 4)),
        moves(second_moves) {
    for (Batch<T>& batch : of) batch.scales = first.relu;
  }

  // call(what both batches give) where `together`, else one after the other
  template <class Make, class Call>
  void each(bool together, Make make, Call call) {
    using Argument = decltype(make(0));
    const Pair<Argument> both{make(0), make(1)};
    if (together) return call(Batches<Argument>(std::span<const Argument>(both)));
    for (const Argument& one : both) call(Batches<Argument>(one));
  }
  bool adds() const { return moves && of[0].width == 0; }
  void all(bool together) {
    const RunningStatistics running{running_mean.data(), running_var.data(), 0.1f};
    each(
        together,
        [&](size_t k) {
          return of[k].statistics(gamma.data(), beta.data(),
                                  k == 0 || moves ? running : RunningStatistics{});
        },
        [](const auto& a) { find_statistics(a); });
    each(
        together, [&](size_t k) { return of[k].apply(adds()); },
        [](const auto& a) { cuda::batch_norm_apply(kStream, a); });
    each(
        together, [&](size_t k) { return of[k].sums(adds()); },
        [](const auto& a) { find_sums(a); });
    each(
        together,
        [&](size_t k) {
          return of[k].backward(gamma.data(), moves ? 1.0f : 0.0f, k == 0 || moves, adds());
        },
        [](const auto& a) { differentiate(a); });
  }
};

template <class T>
void check_alike(const Pair<BatchNormShape>& shapes, bool moves, int64_t width = 0) {
  CAPTURE(shapes[0].C);
  CAPTURE(moves);
  Run<T> together(shapes[0], shapes[1], moves, width), apart(shapes[0], shapes[1], moves, width);
  together.all(true);
  apart.all(false);
  const auto same = [](const auto& a, const auto& b) { return same_bits(a.values(), b.values()); };
  CHECK(same(together.running_mean, apart.running_mean));
  CHECK(same(together.running_var, apart.running_var));
  for (size_t k = 0; k < 2; ++k) {
    CAPTURE(k);
    const Batch<T>&a = together.of[k], &b = apart.of[k];
    CHECK(same(a.mean, b.mean));
    CHECK(same(a.invstd, b.invstd));
    CHECK(same(a.line, b.line));
    CHECK(same(a.y, b.y));
    CHECK(same(a.which, b.which));
    CHECK(same(a.sum_g, b.sum_g));
    CHECK(same(a.sum_gx, b.sum_gx));
    CHECK(same(a.dx, b.dx));
    CHECK(same(a.dr, b.dr));
    CHECK(same(a.dgamma, b.dgamma));
    CHECK(same(a.dbeta, b.dbeta));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("cuda batch norm: two batches at once, the bits of each alone", T, float, bf16,
                   f16) {
  constexpr Pair<BatchNormShape> kBatches[] = {{{{33, 3, true}, {20, 3, true}}},
                                               {{{40, 16, true}, {300, 16, true}}},
                                               {{{0, 8, false}, {40, 8, false}}},
                                               {{{530, 10, false}, {9, 10, false}}}};
  for (const auto& shapes : kBatches)
    for (const bool moves : {true, false}) check_alike<T>(shapes, moves);
  constexpr Pair<BatchNormShape> kPooled[] = {{{{48, 3, true}, {24, 3, true}}},
                                              {{{96, 16, true}, {288, 16, true}}},
                                              {{{0, 8, false}, {48, 8, false}}}};
  for (const auto& shapes : kPooled)
    for (const bool moves : {true, false}) check_alike<T>(shapes, moves, /*width=*/6);
}

TEST_CASE("cuda batch norm, plain machine alone: two batches, one of them large or empty") {
  // more parts than threads that bring a column's together
  check_alike<float>({{{8300, 17, true}, {0, 17, true}}}, true);
  check_alike<float>({{{8300, 17, true}, {8300, 17, true}}}, false);
  for (const bool moves : {true, false})
    check_alike<bf16>({{{64, 260, true}, {700, 260, true}}}, moves);
}

}  // namespace expunge::kernels
