#include "unlearn/gate_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

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

}  // namespace

TEST_CASE("gate table: a gate of one's own is a function and a row") {
  nn::Model model =
      nn::build<test::TinyVgg>("tiny", {.height = 8, .width = 8, .channels = 3, .classes = 5});
  nn::initialise(model.params, nn::Init::pytorch, 3);
  nn::Optimizer optimizer(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0});
  const RangeTable& table = model.params.parameters();
  StepGradients gradients{.g_f = model.params.make_buffer(), .g_r = model.params.make_buffer()};
  uint64_t key = 0;
  for (const Tensor& flat : {gradients.g_f, gradients.g_r})
    for (const Range& range : table) {
      const test::Values values = test::normal_values(range.size, ++key);
      std::ranges::transform(values, flat.data() + range.offset,
                             [](double v) { return static_cast<float>(1e-4 * v); });
    }
  UpdateConfig config;
  config.gate = {&kTopTensor, 0.3};
  GatedUpdate update(model.params, optimizer, gradients, config);
  const int64_t kept = update.all({.lr = 1e-3f});
  int64_t expected = 0;
  for (const Range& range : table) {
    const auto w = ParamStore::view(update.weights(), range).span(),
               phi = ParamStore::view(update.phi(), range).span();
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
