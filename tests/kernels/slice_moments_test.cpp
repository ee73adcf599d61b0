#include "kernels/slice_moments.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/parallel.h"
#include "kernels/moments.h"
#include "support/op_harness.h"

namespace expunge::kernels {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Moments {
  Floats sum, error;
};

// Contributions of the images, each with a mean that dwarfs their spread by `offset`.
Doubles contribution(int64_t n, int64_t image, double offset) {
  Doubles c = test::normal_values(n, static_cast<uint64_t>(900 + image));
  const Doubles common = test::normal_values(n, 5);
  for (size_t i = 0; i < c.size(); ++i) c[i] = 0.01 * (c[i] + offset * common[i]);
  return c;
}

Moments by_slices(int64_t n, int64_t batch, int64_t k, double offset) {
  Moments m{Floats(static_cast<size_t>(n), NAN), Floats(static_cast<size_t>(n), NAN)};
  const int64_t rows = std::min(k, kSlicesTogether);
  for (SliceRun run{batch, k, 0, rows}; run.first < k; run.first += run.count) {
    run.count = std::min(rows, k - run.first);
    Floats c(static_cast<size_t>(run.count * n));
    for (int64_t j = 0; j < run.count; ++j)
      for (int64_t image = run.images(j).begin; image < run.images(j).end; ++image) {
        const Doubles part = contribution(n, image, offset);
        for (size_t i = 0; i < part.size(); ++i)
          c[static_cast<size_t>(j * n) + i] += static_cast<float>(part[i]);
      }
    slice_moments({}, n, slice_rules(run), c.data(), n, m.sum.data(), m.error.data());
  }
  return m;
}

// From the definition, in double.
double reference_error(int64_t n, int64_t batch, int64_t k, double offset, size_t i) {
  Doubles g;
  double mean = 0;
  for (int64_t j = 0; j < k; ++j) {
    const ImageRange images = image_slice(batch, k, j);
    double c = 0;
    for (int64_t image = images.begin; image < images.end; ++image)
      c += contribution(n, image, offset)[i];
    mean += c;
    g.push_back(static_cast<double>(batch) / static_cast<double>(images.end - images.begin) * c);
  }
  double sum = 0;
  for (int64_t j = 0; j < k; ++j) {
    const ImageRange images = image_slice(batch, k, j);
    const double d = g[static_cast<size_t>(j)] - mean;
    sum += static_cast<double>(images.end - images.begin) * d * d;
  }
  return sum / static_cast<double>((k - 1) * batch);
}

}  // namespace

TEST_CASE("slices of a batch: they cover it in order, the first take what is left over") {
  for (const auto& [batch, k] : {std::pair<int64_t, int64_t>{6, 4}, {8, 8}, {256, 7}, {5, 1}}) {
    int64_t next = 0;
    for (int64_t j = 0; j < k; ++j) {
      const ImageRange images = image_slice(batch, k, j);
      CHECK(images.begin == next);
      CHECK(images.end - images.begin == batch / k + (j < batch % k ? 1 : 0));
      next = images.end;
    }
    CHECK(next == batch);
  }
}

TEST_CASE("slice moments: sum and squared error against the definition in double") {
  constexpr int64_t n = 40;
  for (const auto& [batch, k] : {std::pair<int64_t, int64_t>{6, 4}, {6, 2}, {24, 24}, {19, 8}})
    for (const double offset : {0.0, 100.0}) {
      const Moments m = by_slices(n, batch, k, offset);
      for (size_t i = 0; i < m.sum.size(); ++i) {
        double sum = 0;
        for (int64_t image = 0; image < batch; ++image) sum += contribution(n, image, offset)[i];
        // a slice's contribution is rounded to float: 6e-8 of a mean 100 times its spread
        CHECK(double{m.sum[i]} == doctest::Approx(sum).epsilon(1e-5));
        CHECK(double{m.error[i]} ==
              doctest::Approx(reference_error(n, batch, k, offset, i)).epsilon(1e-3));
      }
    }
}

TEST_CASE("slice moments: one slice says nothing, equal slices give 0, same bits on two threads") {
  const Moments one = by_slices(10, 4, 1, 0);
  for (float e : one.error) CHECK(e == kInfinity);
  Floats sum(1), error(1);
  const float c = 0.25f;
  for (int64_t j = 0; j < 4; ++j)
    slice_moments({}, 1, slice_rules({8, 4, j, 1}), &c, 1, sum.data(), error.data());
  CHECK(sum[0] == 1.0f);
  CHECK(error[0] == 0.0f);
  set_thread_count(1);
  const Moments alone = by_slices(40000, 7, 3, 1);
  set_thread_count(2);
  const Moments shared = by_slices(40000, 7, 3, 1);
  set_thread_count(0);
  CHECK(std::memcmp(alone.error.data(), shared.error.data(), 40000 * sizeof(float)) == 0);
}

TEST_CASE("product error: the squares identity against the images' own gradients in double") {
  constexpr int64_t N = 9, in = 5, out = 4;
  const Doubles x = test::normal_values(N * in, 1), dy = test::normal_values(N * out, 2);
  const Floats xf(x.begin(), x.end()), dyf(dy.begin(), dy.end());
  for (const bool bias : {false, true}) {
    const int64_t columns = bias ? 1 : in;
    const auto at = [](const Floats& v, int64_t i) { return double{v[static_cast<size_t>(i)]}; };
    const auto contribution = [&](int64_t i, int64_t o, int64_t c) {
      return at(dyf, i * out + o) * (bias ? 1.0 : at(xf, i * in + c));
    };
    Floats mean(static_cast<size_t>(out * columns)), error(mean.size());
    Doubles expected(mean.size());
    for (int64_t o = 0; o < out; ++o)
      for (int64_t c = 0; c < columns; ++c) {
        double m = 0, sum = 0;
        for (int64_t i = 0; i < N; ++i) m += contribution(i, o, c);
        for (int64_t i = 0; i < N; ++i) sum += std::pow(N * contribution(i, o, c) - m, 2);
        mean[static_cast<size_t>(o * columns + c)] = static_cast<float>(m);
        expected[static_cast<size_t>(o * columns + c)] = sum / (N * (N - 1));
      }
    RowProduct product{
        .rows = N, .in = columns, .out = out, .x = bias ? nullptr : xf.data(), .dy = dyf.data()};
    product_error({}, product, mean.data(), error.data());
    for (size_t i = 0; i < mean.size(); ++i)
      CHECK(double{error[i]} == doctest::Approx(expected[i]).epsilon(1e-6));
    product.rows = 1;
    product_error({}, product, mean.data(), error.data());
    CHECK(error[0] == kInfinity);
  }
}

TEST_CASE("moments: the signal at its edges, and shrunk") {
  constexpr float flat = -1, none = 0, some = 3;  // priors
  CHECK(math::moments_signal(flat, 2.0f, 1.0f) == 2.0f);
  CHECK(math::moments_signal(some, 2.0f, 1.0f) == doctest::Approx(2 * std::sqrt(0.75)));
  CHECK(math::moments_signal(none, 2.0f, 1.0f) == 0.0f);
  for (const float prior : {flat, none, some}) {
    CHECK(math::moments_signal(prior, 1e-3f, 0.0f) == 8.0f);
    CHECK(math::moments_signal(prior, -1e-3f, 0.0f) == -8.0f);
    CHECK(math::moments_signal(prior, 0.0f, 0.0f) == 0.0f);
    CHECK(math::moments_signal(prior, 5.0f, kInfinity) == 0.0f);
  }
  CHECK(math::moments_signal(flat, -5.0f, 1e-6f) == -8.0f);

  const Floats m = {3.0f, -1.0f, 0.5f}, error = {1.0f, 1.0f, 0.25f};
  const auto prior = [](int64_t n, const float* mean, const Floats& of) {
    float found = -1;
    prior_variance({}, n, mean, of.data(), &found);
    return found;
  };
  CHECK(prior(3, m.data(), error) == doctest::Approx(8.0 / 3));
  CHECK(prior(2, m.data() + 1, error) == 0.0f);
  CHECK(prior(2, m.data(), {kInfinity, kInfinity}) == 0.0f);
}

}  // namespace expunge::kernels
