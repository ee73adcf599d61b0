#include "kernels/norm_tile.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/batch_norm.h"
#include "support/every_isa.h"
#include "support/fenced.h"
#include "support/op_harness.h"

// Rows of batch norm: the same bits on every instruction set, in fenced arrays; and against double.
namespace expunge::test {
namespace {

using kernels::NormPassing;

struct Rows {
  int64_t rows, C;
  Fence fence;
  Fenced x = drawn(rows * C, 1), y = drawn(rows * C, 2), dy = drawn(rows * C, 3), a = drawn(C, 4),
         b = drawn(C, 5), k = drawn(C, 6), mean = drawn(C, 7), line_a = drawn(C, 8),
         line_b = drawn(C, 9);

  Fenced drawn(int64_t n, uint64_t key) const {
    const Tensor t = to_tensor(normal_values(n, key), {n});
    return Fenced(t.data(), n, fence);
  }
  kernels::NormGradientRows gradient(NormPassing passing) const {
    return {rows, C, passing, x.data(), y.data(), dy.data(), line_a.data(), line_b.data()};
  }
  double g(NormPassing passing, int64_t i) const {
    const int64_t c = i % C;
    if (passing == NormPassing::everywhere) return double{dy.data()[i]};
    const float out = passing == NormPassing::by_output
                          ? y.data()[i]
                          : line_a.data()[c] * x.data()[i] + line_b.data()[c];
    return out > 0 ? double{dy.data()[i]} : 0;
  }
};

// What run(rows) returns, from every instruction set: the same bits.
std::vector<float> on_all(const Rows& rows,
                          const std::function<std::vector<float>(const Rows&)>& run) {
  std::vector<float> first;
  on_every_isa([&] {
    const std::vector<float> found = run(rows);
    if (first.empty()) first = found;
    REQUIRE(found.size() == first.size());
    CHECK(std::memcmp(found.data(), first.data(), found.size() * sizeof(float)) == 0);
  });
  return first;
}

std::vector<float> values(const Fenced& x, int64_t n) {
  return {x.data(), x.data() + n};
}
void append(std::vector<float>& to, const Fenced& x, int64_t n) {
  to.insert(to.end(), x.data(), x.data() + n);
}

constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 1}, {16, 15}, {17, 16}, {5, 33}, {40, 70}};
constexpr NormPassing kPassing[] = {NormPassing::everywhere, NormPassing::by_output,
                                    NormPassing::by_line};

template <class Check>
void each_case(Check check) {
  for (const auto& [rows, C] : kShapes)
    for (const Fence fence : {Fence::behind, Fence::before}) {
      CAPTURE(rows);
      CAPTURE(C);
      check(Rows{rows, C, fence});
    }
}

}  // namespace

TEST_CASE("batch norm, rows: moments") {
  each_case([](const Rows& r) {
    const auto found = on_all(r, [](const Rows& t) {
      const Fenced sum = t.drawn(t.C, 10), squares = t.drawn(t.C, 11), plain = t.drawn(t.C, 12);
      kernels::norm_tiles().moments({t.rows, t.C, t.x.data(), nullptr, plain.data(), nullptr});
      kernels::norm_tiles().moments(
          {t.rows, t.C, t.x.data(), t.mean.data(), sum.data(), squares.data()});
      std::vector<float> all = values(plain, t.C);
      append(all, sum, t.C), append(all, squares, t.C);
      return all;
    });
    for (int64_t c = 0; c < r.C; ++c) {
      double plain = double{r.drawn(r.C, 12).data()[c]}, sum = double{r.drawn(r.C, 10).data()[c]},
             squares = double{r.drawn(r.C, 11).data()[c]};
      for (int64_t p = 0; p < r.rows; ++p) {
        const double x = double{r.x.data()[p * r.C + c]}, d = x - double{r.mean.data()[c]};
        plain += x, sum += d, squares += d * d;
      }
      const auto of = [&](int64_t part) {
        return double{found[static_cast<size_t>(part * r.C + c)]};
      };
      CHECK(of(0) == doctest::Approx(plain).epsilon(1e-5));
      CHECK(of(1) == doctest::Approx(sum).epsilon(1e-5));
      CHECK(of(2) == doctest::Approx(squares).epsilon(1e-5));
    }
  });
}

TEST_CASE("batch norm, rows: sums of a gradient") {
  for (const NormPassing passing : kPassing)
    each_case([&](const Rows& r) {
      const auto found = on_all(r, [&](const Rows& t) {
        const Fenced g = t.drawn(t.C, 10), gx = t.drawn(t.C, 11);
        kernels::norm_tiles().sums({t.gradient(passing), t.mean.data(), g.data(), gx.data()});
        std::vector<float> all = values(g, t.C);
        append(all, gx, t.C);
        return all;
      });
      for (int64_t c = 0; c < r.C; ++c) {
        double g = double{r.drawn(r.C, 10).data()[c]}, gx = double{r.drawn(r.C, 11).data()[c]};
        for (int64_t i = c; i < r.rows * r.C; i += r.C) {
          g += r.g(passing, i);
          gx += r.g(passing, i) * (double{r.x.data()[i]} - double{r.mean.data()[c]});
        }
        CHECK(double{found[static_cast<size_t>(c)]} == doctest::Approx(g).epsilon(1e-5));
        CHECK(double{found[static_cast<size_t>(r.C + c)]} == doctest::Approx(gx).epsilon(1e-5));
      }
    });
}

TEST_CASE("batch norm, rows: gradients, over what is there or added to it, or both into one") {
  for (const NormPassing passing : kPassing)
    for (const float keep : {0.0f, 0.5f})
      each_case([&](const Rows& r) {
        const int64_t n = r.rows * r.C;
        const auto before = [&](const Rows& t, uint64_t key) {
          std::vector<float> x = values(t.drawn(n, key), n);
          if (keep == 0) x.assign(x.size(), std::nanf(""));
          return Fenced(x.data(), n, t.fence);
        };
        const auto found = on_all(r, [&](const Rows& t) {
          const Fenced dx = before(t, 10), dr = before(t, 11), both = before(t, 12);
          kernels::NormBackwardTile tile{.in = t.gradient(passing),
                                         .a = t.a.data(),
                                         .b = t.b.data(),
                                         .k = t.k.data(),
                                         .beta_dx = keep,
                                         .beta_residual = keep,
                                         .dx = dx.data(),
                                         .dresidual = dr.data()};
          kernels::norm_tiles().backward(tile);
          tile.beta_dx = 1, tile.dx = tile.dresidual = both.data();
          kernels::norm_tiles().backward(tile);
          std::vector<float> all = values(dx, n);
          append(all, dr, n), append(all, both, n);
          return all;
        });
        for (int64_t i = 0; i < n; ++i) {
          const int64_t c = i % r.C;
          const auto was = [&](uint64_t key) {
            return keep == 0 ? 0.0 : double{keep} * double{r.drawn(n, key).data()[i]};
          };
          const auto of = [&](int64_t part) {
            return doctest::Approx(double{found[static_cast<size_t>(part * n + i)]})
                .epsilon(1e-5)
                .scale(1);
          };
          const double g = r.g(passing, i), dx = double{r.a.data()[c]} * g +
                                                 double{r.b.data()[c]} * double{r.x.data()[i]} +
                                                 double{r.k.data()[c]};
          CHECK(was(10) + dx == of(0));
          CHECK(was(11) + g == of(1));
          CHECK(was(12) + g + dx == of(2));
        }
      });
}

namespace {

// Two rows of pixels, and the windows of 2 x 2 in them.
struct Windows {
  int64_t count, C;
  const float* x;

  int64_t pixel(int64_t i, int64_t k) const {  // k of the window of output i
    return (k / 2 * count + i / C) * 2 + k % 2;
  }
  float at(int64_t i, int64_t k) const { return x[pixel(i, k) * C + i % C]; }
  int64_t largest(int64_t i) const {
    int64_t best = 0;
    for (int64_t k = 1; k < 4; ++k) {
      const float other = at(i, k), so_far = at(i, best);
      if (other > so_far || (std::isnan(other) && !std::isnan(so_far))) best = k;
    }
    return best;
  }
};

void check_windows(int64_t windows, int64_t C, Fence fence) {
  CAPTURE(windows);
  CAPTURE(C);
  const Rows r{4 * windows, C, fence};
  const int64_t n = windows * C;
  const Fenced x(r.x.data(), 4 * n, fence);
  for (int64_t i = 0; i < 4 * n; ++i) x.data()[i] = std::round(2 * x.data()[i]);  // many are equal
  x.data()[n / 2] = std::nanf("");
  const float *upper = x.data(), *lower = upper + 2 * n;
  const Windows all{windows, C, x.data()};
  on_every_isa([&] {
    const Fenced y(n, fence), again(n, fence), out(4 * n, fence);
    std::vector<uint8_t> which(static_cast<size_t>(n) + 1, 77);
    kernels::norm_tiles().pool({windows, C, upper, lower, y.data(), which.data()});
    kernels::norm_tiles().pool({windows, C, upper, lower, again.data(), nullptr});
    CHECK(std::memcmp(y.data(), again.data(), static_cast<size_t>(n) * sizeof(float)) == 0);
    CHECK(which.back() == 77);
    kernels::norm_tiles().unpool(
        {1, 4 * windows, 2 * windows, C, r.dy.data(), which.data(), out.data()});
    for (int64_t i = 0; i < n; ++i) {
      const int64_t best = all.largest(i);
      CHECK(int64_t{which[static_cast<size_t>(i)]} == best);
      const float largest = all.at(i, best);
      CHECK(std::memcmp(&y.data()[i], &largest, sizeof largest) == 0);
      for (int64_t k = 0; k < 4; ++k)
        if (const int64_t pixel = all.pixel(i, k) - 1; pixel >= 0)  // the first was left out
          CHECK(out.data()[pixel * C + i % C] == (k == best ? r.dy.data()[i] : 0));
    }
  });
}

}  // namespace

TEST_CASE("batch norm, rows: the largest of windows, and back to where it was") {
  for (const auto& [windows, C] : {std::pair<int64_t, int64_t>{1, 1}, {3, 15}, {2, 16}, {5, 33}})
    for (const Fence fence : {Fence::behind, Fence::before}) check_windows(windows, C, fence);
}

}  // namespace expunge::test
