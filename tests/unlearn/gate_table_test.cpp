#include "unlearn/gate_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/gates.h"
#include "support/op_harness.h"
#include "support/tiny_models.h"
#include "unlearn/update.h"

namespace expunge::unlearn {
namespace {

// The example of docs/adding-a-gate.md.
void top_tensor(const GateInput& in) {
  const double keep = in.value * static_cast<double>(in.phi.size());
  kernels::gate_top(in.phi, std::llround(keep), in.w);
}
constexpr GateRow kTopTensor = {.name = "top-tensor",
                                .scope = Scope::tensor,
                                .uses = {.forget = true, .retain = true, .phi = true},
                                .value = GateValue{.fallback = 0.5, .least = 0, .most = 1},
                                .weigh = top_tensor,
                                .summary = "this share of each tensor, the highest phi"};

// A small network's update, of gradients that are drawn: normal, deviation 1e-4.
struct Gated {
  nn::Model model = test::tiny();
  nn::Optimizer optimizer{model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0}};
  StepGradients gradients = drawn(model.params);
  GatedUpdate update;

  explicit Gated(const GateSpec& gate)
      : update(model.params, optimizer, gradients, config_of(gate)) {}
  // Of every parameter, without the padding between tensors.
  std::vector<float> unpadded(const Tensor& flat) const {
    std::vector<float> all;
    for (const Range& range : model.params.parameters()) {
      const auto part = ParamStore::view(flat, range).span();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

 private:
  static StepGradients drawn(const ParamStore& params) {
    StepGradients gradients{.g_f = params.make_buffer(), .g_r = params.make_buffer()};
    uint64_t key = 0;
    for (const Tensor& flat : {gradients.g_f, gradients.g_r})
      for (const Range& range : params.parameters()) {
        const test::Values values = test::normal_values(range.size, ++key);
        std::ranges::transform(values, flat.data() + range.offset,
                               [](double v) { return static_cast<float>(1e-4 * v); });
      }
    return gradients;
  }
  static UpdateConfig config_of(const GateSpec& gate) {
    UpdateConfig config;
    config.gate = gate;
    return config;
  }
};

// OPT by its definition: the first prefix, by rising product, that leaves the rest feasible.
std::vector<float> opt_weights(const std::vector<float>& u, const std::vector<float>& c,
                               double beta) {
  std::vector<size_t> order(u.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto product = [&](size_t i) { return double{u[i]} * double{c[i]}; };
  std::ranges::stable_sort(order, {}, product);
  std::vector<float> w(u.size(), 1.0f);
  for (size_t dropped = 0; dropped <= u.size(); ++dropped) {
    if (dropped > 0) w[order[dropped - 1]] = 0;
    double uu = 0, cc = 0, uc = 0;
    for (size_t k = dropped; k < u.size(); ++k) {
      const double a = u[order[k]], b = c[order[k]];
      uu += a * a, cc += b * b, uc += a * b;
    }
    if (std::min((1 - beta) * uu + beta * uc, beta * cc + (1 - beta) * uc) >= 0) break;
  }
  return w;
}

}  // namespace

TEST_CASE("gate table: global-opt is opt over all parameters as one") {
  Gated gated(GateSpec::parse("global-opt"));
  const auto u = gated.unpadded(gated.gradients.g_f);
  for (float& v : gated.gradients.g_r.span()) v *= 0.7f;
  for (int64_t i = 0; i < gated.gradients.g_r.size(); ++i)  // conflicting, or nothing is dropped
    gated.gradients.g_r.data()[i] -= 0.2f * gated.gradients.g_f.data()[i];
  const auto c = gated.unpadded(gated.gradients.g_r), expected = opt_weights(u, c, 0.95);
  const int64_t kept = gated.update.all({.lr = 1e-3f});
  const int64_t dropped = std::ranges::count(expected, 0.0f);
  CHECK(dropped > 10);
  CHECK(dropped < std::ssize(expected) - 10);
  CHECK(gated.unpadded(gated.update.weights()) == expected);
  CHECK(kept == std::ssize(expected) - dropped);
  // by tensors other ones are dropped
  Gated by_tensors(GateSpec::parse("opt"));
  by_tensors.gradients.g_r.copy_from(gated.gradients.g_r);
  by_tensors.update.all({.lr = 1e-3f});
  CHECK(by_tensors.unpadded(by_tensors.update.weights()) != expected);
}

TEST_CASE("gate table: random keeps exactly its share of each tensor, by other lots in each step") {
  Gated gated(GateSpec::parse("random:0.3"));
  const int64_t n = gated.model.params.parameters().size(), kSteps = 200;
  std::vector<std::vector<float>> drawn;
  std::vector<double> often(static_cast<size_t>(n));
  for (int64_t step = 0; step < kSteps; ++step) {
    gated.update.all({.seed = 5, .step = step, .lr = 0});
    for (const Range& range : gated.model.params.parameters()) {
      const auto w = ParamStore::view(gated.update.weights(), range).span();
      const int64_t ones = std::ranges::count(w, 1.0f);
      CHECK(ones == std::llround(0.3 * static_cast<double>(range.size)));
      CHECK(ones + std::ranges::count(w, 0.0f) == range.size);
    }
    drawn.push_back(gated.unpadded(gated.update.weights()));
    for (size_t i = 0; i < often.size(); ++i) often[i] += double{drawn.back()[i]};
  }
  CHECK(drawn[0] != drawn[1]);
  gated.update.all({.seed = 6, .step = 0, .lr = 0});
  CHECK(gated.unpadded(gated.update.weights()) != drawn[0]);
  gated.update.all({.seed = 5, .step = 0, .lr = 0});
  CHECK(gated.unpadded(gated.update.weights()) == drawn[0]);
  // the first tensor: 200 draws of 0.3 have a deviation of 6.5
  for (size_t i = 0; i < static_cast<size_t>(gated.model.params.parameters()[0].size); ++i)
    CHECK(std::abs(often[i] - 60) < 5 * 6.5);
}

TEST_CASE("gate table: a gate of one's own is a function and a row") {
  Gated gated({&kTopTensor, 0.3});
  const int64_t kept = gated.update.all({.lr = 1e-3f});
  int64_t expected = 0;
  for (const Range& range : gated.model.params.parameters()) {
    const auto w = ParamStore::view(gated.update.weights(), range).span(),
               phi = ParamStore::view(gated.update.phi(), range).span();
    expected += std::llround(0.3 * static_cast<double>(range.size));
    float lowest_kept = 1, highest_dropped = 0;
    for (size_t i = 0; i < w.size(); ++i)
      if (w[i] == 1)
        lowest_kept = std::min(lowest_kept, phi[i]);
      else
        highest_dropped = std::max(highest_dropped, phi[i]);
    CHECK(lowest_kept >= highest_dropped);
  }
  CHECK(kept == expected);
}

TEST_CASE("gate table: every row has what its scope needs") {
  for (const GateRow& row : gates()) {
    CAPTURE(row.name);
    CHECK((row.scope == Scope::element) == (row.weigh == nullptr));
    CHECK((row.element != kernels::ElementGate::given || row.uses.mask) ==
          (row.scope == Scope::element));
    CHECK((row.weigh_tensors == nullptr || (row.scope == Scope::tensor && row.anywhere)));
    CHECK(GateSpec::parse(row.name).row == &row);
  }
}

}  // namespace expunge::unlearn
