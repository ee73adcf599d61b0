#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/op_harness.h"
#include "unlearn/estimator.h"

// Estimators over a tensor, with and without shrinkage, against double from every image's gradient.
namespace expunge::unlearn {
namespace {

constexpr int64_t kN = 300, kBatch = 5;
constexpr int kBlock = 3, kSteps = 5;
constexpr double kRho = 0.9;

enum class Side : int { forget, retain };

// The gradients of a step's images, (kBatch, kN): means of the size of their standard errors. Some
// elements have no gradient, others no spread.
std::vector<double> images(Side side, int step) {
  const auto key = static_cast<uint64_t>(static_cast<int>(side));
  const auto mean = test::normal_values(kN, key),
             noise = test::normal_values(kBatch * kN, 100 + 50 * key + static_cast<uint64_t>(step));
  std::vector<double> g(noise.size());
  for (size_t i = 0; i < g.size(); ++i) {
    const size_t e = i % kN;
    g[i] = e % 17 == 0 ? 0 : 0.02 * mean[e] + (e % 13 == 0 ? 0 : 0.05 * noise[i]);
  }
  return g;
}

double batch_mean(const std::vector<double>& g, size_t e) {
  double sum = 0;
  for (size_t i = e; i < g.size(); i += kN) sum += g[i];
  return sum / kBatch;
}

struct Moments {
  double mean = 0, error = 0;  // SE^2
};

Moments weighted(const std::vector<double>& x, double decay) {
  double W = 0, Q = 0, mean = 0, variance = 0, w = 1;
  for (size_t i = x.size(); i-- > 0; w *= decay) W += w, Q += w * w, mean += w * x[i];
  mean /= W, w = 1;
  for (size_t i = x.size(); i-- > 0; w *= decay) variance += w * std::pow(x[i] - mean, 2);
  const double S = Q / (W * W);
  return {mean, variance / W * S / (1 - S)};
}

// What the estimator knows of element e after step `last`.
Moments reference(const std::string& name, Side side, int last, size_t e) {
  std::vector<double> x;
  if (name == "persample") {
    for (size_t i = e; i < static_cast<size_t>(kBatch * kN); i += kN)
      x.push_back(images(side, last)[i]);
    return weighted(x, 1);
  }
  const int end = name == "welford" ? (last + 1) / kBlock * kBlock : last + 1;
  for (int t = name == "welford" ? end - kBlock : 0; t < end; ++t)
    x.push_back(batch_mean(images(side, t), e));
  return weighted(x, name == "welford" ? 1 : kRho);
}

double reference_half(const Moments& m, double prior) {
  double z = m.error > 1e-16 ? m.mean / std::sqrt(m.error) : m.mean > 0 ? 8 : m.mean < 0 ? -8 : 0;
  z = std::clamp(z, -8.0, 8.0);
  if (prior >= 0 && m.error > 1e-16) z *= std::sqrt(prior / (prior + m.error));
  return 0.5 * std::erf(z / std::sqrt(2.0));
}

// One parameter behind another, and the statistics of its two gradients.
struct Tensors {
  ParamStore params;
  Tensor g_f, g_r;
  GradientStatistics f, r;

  static ParamStore store() {
    ParamStore params;
    params.add_parameter({.name = "before", .shape = {3}});
    params.add_parameter({.name = "b", .shape = {kN}});
    params.allocate();
    return params;
  }
  explicit Tensors(const std::string& estimator)
      : params(store()),
        g_f(params.make_buffer()),
        g_r(params.make_buffer()),
        f(EstimatorSpec::parse(estimator), params),
        r(EstimatorSpec::parse(estimator), params) {}

  const Range& range() const { return params.parameters()[1]; }
  void take_in(Side side, int step) {
    GradientStatistics& stats = side == Side::forget ? f : r;
    const Tensor& flat = side == Side::forget ? g_f : g_r;
    const std::vector<double> g = images(side, step);
    const Tensor dy = test::to_tensor(g, {kBatch, kN}), sum = ParamStore::view(flat, range());
    for (float& v : dy.span()) v /= kBatch;
    for (size_t e = 0; e < kN; ++e) sum.span()[e] = static_cast<float>(batch_mean(g, e));
    if (SliceStatistics* slices = stats.slices()) {
      slices->start(kBatch);
      slices->take_product(
          range(), {.rows = kBatch, .in = 1, .out = kN, .x = nullptr, .dy = dy.data()}, sum);
    }
    stats.take_in(1, step, flat);
  }
  std::vector<float> phi(int step) {
    take_in(Side::forget, step), take_in(Side::retain, step);
    std::vector<float> out(kN);
    const kernels::GradAlignment a{.g_f = g_f.data() + range().offset,
                                   .g_r = g_r.data() + range().offset,
                                   .beta = 0.95f,
                                   .rule_f = f.rule(1, step),
                                   .rule_r = r.rule(1, step),
                                   .state_f = f.at(1),
                                   .state_r = r.at(1),
                                   .gate = {},
                                   .update = {},
                                   .value = nullptr,
                                   .first = nullptr,
                                   .second = nullptr};
    kernels::focus_vector({}, kN, a, out.data());
    return out;
  }
};

double reference_prior(const std::string& name, Side side, int step) {
  double sum = 0;
  for (size_t e = 0; e < kN; ++e) {
    const Moments m = reference(name, side, step, e);
    sum += m.mean * m.mean - m.error;
  }
  return std::max(0.0, sum / kN);
}

}  // namespace

TEST_CASE("estimators: phi with and without shrinkage against double, image by image") {
  for (const auto& [name, text] : {std::pair<std::string, std::string>{"welford", "welford:3"},
                                   {"ema", "ema:0.9"},
                                   {"persample", "persample"}})
    for (const bool shrink : {false, true}) {
      CAPTURE(text);
      CAPTURE(shrink);
      Tensors tensors(text + ",cdf=normal" + (shrink ? ",shrink=on" : ""));
      std::vector<float> got;
      for (int t = 0; t < kSteps; ++t) got = tensors.phi(t);
      double prior_f = -1, prior_r = -1, worst = 0;
      if (shrink) {
        prior_f = reference_prior(name, Side::forget, kSteps - 1);
        prior_r = reference_prior(name, Side::retain, kSteps - 1);
        CHECK(prior_f > 1e-5);
      }
      for (size_t e = 0; e < kN; ++e) {
        if (e % 13 == 0 && e % 17 != 0) continue;  // spread of rounding alone
        const double h_f = reference_half(reference(name, Side::forget, kSteps - 1, e), prior_f);
        const double h_r = reference_half(reference(name, Side::retain, kSteps - 1, e), prior_r);
        worst = std::max(worst, std::abs(double{got[e]} - (0.5 + 2 * h_f * h_r)));
        if (e % 17 == 0) CHECK(got[e] == 0.5f);
      }
      CHECK(worst < 2e-5);  // means and spreads are differences of floats
    }
}

TEST_CASE("estimators: another object goes on from the buffers of the first") {
  for (const char* text :
       {"paper", "welford:3", "welford:3,shrink=on", "ema:0.9,shrink=on", "persample,shrink=on"}) {
    CAPTURE(std::string(text));
    Tensors whole(text), first(text), second(text);
    for (int t = 0; t < 4; ++t) whole.phi(t), first.phi(t);
    for (auto member : {&Tensors::f, &Tensors::r})
      for (size_t i = 0; i < (first.*member).state().size(); ++i)
        (second.*member).state()[i].buffer.copy_from((first.*member).state()[i].buffer);
    CHECK(whole.phi(4) == second.phi(4));
  }
}

TEST_CASE("welford, shrunk: nothing is known before the first block is complete") {
  Tensors tensors("welford:3,shrink=on");
  for (int t = 0; t < 2; ++t) {
    for (float phi : tensors.phi(t)) REQUIRE(phi == 0.5f);
    CHECK_FALSE(tensors.f.ready(t));
  }
  CHECK(tensors.f.ready(2));
}

}  // namespace expunge::unlearn
