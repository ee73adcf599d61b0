#include "kernels/gates.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/gate_opt_math.h"
#include "support/op_harness.h"

namespace expunge::kernels {
namespace {

using Floats = std::vector<float>;

Floats normal(int64_t n, uint64_t key) {
  const auto values = test::normal_values(n, key);
  return {values.begin(), values.end()};
}

Floats uniform(int64_t n, uint64_t key) {
  Floats values;
  for (double v : test::normal_values(n, key))
    values.push_back(static_cast<float>(0.5 * std::erfc(-v / std::sqrt(2.0))));
  return values;
}

int64_t count(const Floats& w) {
  return std::ranges::count_if(w, [](float v) { return v != 0; });
}

// OPT by its definition: every prefix tried anew.
Floats brute_force_opt(const Floats& gf, const Floats& gr, const Floats& phi, double beta) {
  const auto n = gf.size();
  std::vector<double> u(n), c(n);
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) {
    const double p = phi.empty() ? 1 : double{phi[i]};
    u[i] = p * double{gf[i]}, c[i] = p * double{gr[i]}, order[i] = i;
  }
  std::ranges::stable_sort(order, {}, [&](size_t i) { return u[i] * c[i]; });
  for (size_t dropped = 0;; ++dropped) {
    double uu = 0, cc = 0, uc = 0;
    for (size_t k = dropped; k < n; ++k) {
      const size_t i = order[k];
      uu += u[i] * u[i], cc += c[i] * c[i], uc += u[i] * c[i];
    }
    if (std::min((1 - beta) * uu + beta * uc, beta * cc + (1 - beta) * uc) < 0) continue;
    Floats w(n);
    for (size_t k = dropped; k < n; ++k) w[order[k]] = phi.empty() ? 1.0f : phi[order[k]];
    return w;
  }
}

// The same by one sort and sums from the far end, for sizes at which trying anew takes too long.
int64_t sorted_opt(const Floats& gf, const Floats& gr, double beta) {
  const auto n = gf.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto product = [&](size_t i) { return double{gf[i]} * double{gr[i]}; };
  std::ranges::stable_sort(order, {}, product);
  long double uu = 0, cc = 0, uc = 0;
  size_t found = n;
  for (size_t k = n; k-- > 0;) {
    const size_t i = order[k];
    uu += double{gf[i]} * double{gf[i]}, cc += double{gr[i]} * double{gr[i]}, uc += product(i);
    if (std::min((1 - beta) * uu + beta * uc, beta * cc + (1 - beta) * uc) >= 0) found = k;
  }
  return static_cast<int64_t>(found);
}

}  // namespace

TEST_CASE("saliency: as many as the quantile says, ties and both kinds of quantile") {
  const Floats s = {-4, 1, 3, -2};
  Floats w(4);
  gate_saliency(s, 0.5, Quantile::linear, w);  // |s| sorted 1 2 3 4: threshold 2.5
  CHECK(w == Floats{1, 0, 1, 0});
  gate_saliency(s, 0.25, Quantile::linear, w);  // 1.75
  CHECK(w == Floats{1, 0, 1, 1});
  gate_saliency(s, 0.4, Quantile::linear, w);  // 2.2
  CHECK(w == Floats{1, 0, 1, 0});
  Floats same(5, 2.0f), all(5);
  gate_saliency(same, 0.5, Quantile::linear, all);
  CHECK(count(all) == 5);
  for (int64_t n : {1, 2, 31, 4097})
    for (double q : {0.0, 0.3, 0.5, 1.0})
      for (Quantile kind : {Quantile::linear, Quantile::midpoint}) {
        const Floats x = normal(n, 3);
        Floats kept(x.size()), size(x.size());
        gate_saliency(x, q, kind, kept);
        std::ranges::transform(x, size.begin(), [](float v) { return std::abs(v); });
        std::ranges::sort(size);
        const double place = q * static_cast<double>(n - 1);
        const auto low = static_cast<size_t>(std::floor(place)),
                   high = static_cast<size_t>(std::ceil(place));
        const double threshold =
            kind == Quantile::midpoint && low != high
                ? (double{size[low]} + double{size[high]}) / 2
                : double{size[low]} +
                      (place - static_cast<double>(low)) * (double{size[high]} - double{size[low]});
        CHECK(count(kept) ==
              std::ranges::count_if(size, [&](float v) { return double{v} >= threshold; }));
      }
}

TEST_CASE("top: exactly as many as asked for, ties by index, any sign") {
  Floats w(5);
  gate_top(Floats{-2, 0, -0.0f, 1, -1}, 2, w);
  CHECK(w == Floats{0, 1, 0, 1, 0});
  gate_top(Floats{1, 3, 3, 2, 3}, 2, w);
  CHECK(w == Floats{0, 1, 1, 0, 0});
  for (int64_t n : {0, 1, 31, 4097})
    for (int64_t keep : {int64_t{0}, n / 3, n}) {
      const Floats x = uniform(n, 4);
      Floats kept(x.size());
      gate_top(x, keep, kept);
      CHECK(count(kept) == keep);
    }
}

TEST_CASE("fdr: the mean of 1 - phi over the kept is at most alpha, and one more would exceed it") {
  for (int64_t n : {1, 31, 4097})
    for (double alpha : {0.0, 0.05, 0.2, 0.5, 1.0}) {
      const Floats phi = uniform(n, 5);
      Floats w(phi.size());
      const int64_t keep = gate_fdr(phi, alpha, w);
      CHECK(count(w) == keep);
      std::vector<double> sorted(phi.begin(), phi.end());
      std::ranges::sort(sorted, std::greater<>());
      double risk = 0;
      for (int64_t i = 0; i < keep; ++i) risk += 1 - sorted[static_cast<size_t>(i)];
      CHECK(risk <= alpha * static_cast<double>(keep) + 1e-9);
      if (keep < n)
        CHECK(risk + 1 - sorted[static_cast<size_t>(keep)] > alpha * static_cast<double>(keep + 1));
      for (size_t i = 0; i < phi.size(); ++i)  // the kept are the ones with the highest phi
        if (keep > 0 && double{phi[i]} > sorted[static_cast<size_t>(keep - 1)]) CHECK(w[i] == 1.0f);
    }
}

TEST_CASE("opt: the first feasible prefix, against trying every one") {
  for (int64_t n : {1, 2, 3, 7, 31, 200})
    for (double beta : {0.0, 0.5, 0.95, 1.0})
      for (uint64_t key = 10; key < 30; ++key) {
        const Floats gf = normal(n, key);
        Floats gr = normal(n, key + 100);
        // mostly against each other, so that there is something to drop
        for (size_t i = 0; i < gr.size(); ++i) gr[i] = 0.3f * gr[i] - gf[i];
        for (const Floats& phi : {Floats{}, uniform(n, key + 200)}) {
          Floats w(gf.size());
          const int64_t dropped = gate_opt(gf, gr, phi, beta, w);
          CHECK(w == brute_force_opt(gf, gr, phi, beta));
          CHECK(dropped == std::ranges::count(w, 0.0f));
        }
      }
}

TEST_CASE("opt: large tensors with products of all sizes, some of them equal") {
  for (uint64_t key = 40; key < 60; ++key)
    for (double beta : {0.0, 0.3, 0.95, 1.0}) {
      constexpr int64_t n = 6000;
      Floats gf = normal(n, key), gr = normal(n, key + 100);
      const Floats octave = normal(n, key + 200);
      for (size_t i = 0; i < gf.size(); ++i) {
        gr[i] -= (key % 2 == 0 ? 0.5f : 2.0f) * gf[i];
        const float size = std::exp2(std::round((key % 4 < 2 ? 1.0f : 12.0f) * octave[i]));
        gf[i] *= size, gr[i] *= key % 3 == 0 ? 1 / size : size;
        if (i % 5 == 4) gf[i] = gf[i - 1], gr[i] = gr[i - 1];
      }
      Floats w(gf.size());
      const int64_t dropped = gate_opt(gf, gr, {}, beta, w);
      CHECK(dropped == sorted_opt(gf, gr, beta));
      CHECK(dropped == std::ranges::count(w, 0.0f));
      double largest = -std::numeric_limits<double>::infinity();
      double least = std::numeric_limits<double>::infinity();
      for (size_t i = 0; i < w.size(); ++i) {
        const double product = double{gf[i]} * double{gr[i]};
        if (w[i] == 0)
          largest = std::max(largest, product);
        else
          least = std::min(least, product);
      }
      CHECK(largest <= least);
    }
}

TEST_CASE("opt: classes by size, and the keys that they begin with") {
  const double sizes[] = {5e-324, 1e-310, 1e-90, 3e-40,
                          0.9999, 1,      1.03,  1.0625,
                          2,      1e30,   1e77,  std::numeric_limits<double>::infinity()};
  const auto key_of = [](double size) { return math::conflict_key({0, 0, -size}); };
  for (const double most : sizes)
    for (const double size : sizes) {
      if (size > most) continue;
      const int own = math::opt_class(most, size);
      CHECK(own >= 0);
      CHECK(own < math::kOptClasses);
      CHECK((size != most || own == 0));
      for (int c = 0; c <= math::kOptClasses; ++c)
        CHECK((key_of(size) >= math::first_key(most, c)) == (own >= c));
    }
  CHECK(math::opt_class(2, 1) == 16);
  CHECK(math::first_key(1, math::kOptClasses) == math::kNoConflict);
}

// What a GPU makes of sums by class (kernels/gate_opt_range.cuh).
TEST_CASE("opt: few classes are open, and the last element that goes is in one of them") {
  constexpr int64_t n = 20000;
  const Floats g_f = normal(n, 51), noise = normal(n, 52);
  for (const float lean : {0.02f, 0.2f, 0.6f})
    for (const double beta : {0.3, 0.95}) {
      CAPTURE(lean);
      CAPTURE(beta);
      Floats g_r(g_f.size()), w(g_f.size());
      for (size_t i = 0; i < g_r.size(); ++i) g_r[i] = 0.3f * noise[i] - lean * g_f[i];
      const math::Opt opt{g_f.data(), g_r.data(), nullptr, beta};
      const int64_t dropped = gate_opt(g_f, g_r, {}, beta, w);
      math::OptSums all;
      double most = 0;
      for (int64_t i = 0; i < n; ++i) {
        math::add(all, math::opt_sums(opt, i));
        most = std::max(most, -math::opt_sums(opt, i).uc);
      }
      if (math::opt_feasible(opt, all)) {
        CHECK(dropped == 0);
        continue;
      }
      std::vector<math::OptSides> own(math::kOptClasses), gain(own);
      std::vector<int64_t> count(own.size());
      math::OptSides behind;  // what has no conflict
      int last = -1;          // class of the smallest product that is dropped
      for (int64_t i = 0; i < n; ++i) {
        const math::OptSums element = math::opt_sums(opt, i);
        const double units = math::opt_units(all);
        const math::OptSides its{math::in_units(math::opt_forget(opt, element), units),
                                 math::in_units(math::opt_retain(opt, element), units)};
        if (!(element.uc < 0)) {
          behind = behind + its;
          continue;
        }
        const int c = math::opt_class(most, -element.uc);
        const auto at = static_cast<size_t>(c);
        own[at] = own[at] + its, ++count[at];
        gain[at] = gain[at] + math::OptSides{std::max<int64_t>(0, -its.forget),
                                             std::max<int64_t>(0, -its.retain)};
        if (w[static_cast<size_t>(i)] == 0) last = std::max(last, c);
      }
      int first = math::kOptClasses, end = math::kOptClasses - 1;
      for (int c = math::kOptClasses; c-- > 0;) {
        const auto at = static_cast<size_t>(c);
        if (math::opt_may(behind, own[at], gain[at], n)) first = c;
        if (math::opt_does(behind, n)) end = c;
        behind = behind + own[at];
      }
      CHECK(first <= last);
      CHECK(last <= end);
      int64_t open = 0, conflicts = 0;
      for (int c = 0; c < math::kOptClasses; ++c) {
        const auto at = static_cast<size_t>(c);
        conflicts += count[at], open += c >= first && c <= end ? count[at] : 0;
      }
      CHECK(open > 0);
      CHECK(open * 12 < conflicts);
    }
}

TEST_CASE("opt: nothing is dropped where the gradients agree, and zeros are harmless") {
  const Floats g = normal(100, 6), zero(100);
  Floats w(100);
  CHECK(gate_opt(g, g, {}, 0.95, w) == 0);
  CHECK(count(w) == 100);
  CHECK(gate_opt(zero, g, {}, 0.95, w) == 0);
  CHECK(gate_opt(zero, zero, {}, 0.5, w) == 0);
  CHECK(gate_opt({}, {}, {}, 0.5, {}) == 0);
}

}  // namespace expunge::kernels
