#include "unlearn/step.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "nn/layers.h"
#include "nn/ops.h"
#include "support/error.h"
#include "support/image_batches.h"
#include "support/op_harness.h"
#include "support/tiny_models.h"

namespace expunge::unlearn {
namespace {

using test::Images, test::kSamples, test::kClasses, test::tiny;

struct Method {
  const char *name, *forget, *retain;
  double beta;
  bool saliency_pass;
};
constexpr Method kNgplus{"ngplus", "ascent", "ce", 0.95, false},
    kSrl{"srl", "random-labels", "ce", 0.95, true},
    kScrub{"scrub-paper", "scrub-away", "scrub-keep", 0.95, true},
    kFt{"ft", nullptr, "ce", 1, false}, kGa{"ga", "ascent", nullptr, 0, false};

StepConfig config_of(const Method& m, const std::string& gate) {
  StepConfig config;
  config.forget = m.forget == nullptr ? nullptr : &objective(m.forget);
  config.retain = m.retain == nullptr ? nullptr : &objective(m.retain);
  config.beta = m.beta;
  config.gate = GateSpec::parse(gate);
  config.saliency_pass = m.saliency_pass && config.gate.row->uses.saliency;
  config.batches_per_epoch = 2;
  return config;
}

constexpr nn::OptimConfig kAdam{.kind = nn::OptimKind::adam, .weight_decay = 0};
constexpr float kLr = 1e-3f;

struct Run {
  nn::Model model = tiny();
  nn::Optimizer optimizer{model.params, kAdam};
  Images forget{1000, 2}, retain{5000, 3};
  UnlearnStep step;

  explicit Run(const StepConfig& config) : step(model, optimizer, retain, config) {}
  nn::StepResult go(int64_t at) {
    const auto epoch = static_cast<int32_t>(at / 2);
    return step.run(forget.at(epoch, at % 2), {.seed = 9, .step = at, .epoch = epoch, .lr = kLr});
  }
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

// The gradient of an objective at the model's values, by a tape of its own.
Tensor gradient(const nn::Model& model, const ParamStore& teacher_values, const char* name,
                const Batch& batch, const StepScalars& scalars) {
  ParamStore values = model.params.clone();
  Tape tape;
  const Tensor grads = values.make_buffer();
  tape.bind(values, {grads, 0.0f});
  const Ctx ctx{.params = &values,
                .tape = &tape,
                .mode = Mode::train,
                .batch_norm = BatchNormMode::frozen,
                .scalars = &scalars};
  const Tensor teacher =
      model.network->forward({.params = &teacher_values}, {batch.x, Var::kNone}).value;
  const Var logits = model.network->forward(ctx, {batch.x, Var::kNone});
  const Objective& of = objective(name);
  const Tensor labels = labels_for(of, batch, scalars, logits.value.dim(1));
  tape.backward(of.loss({ctx, logits, labels, teacher}));
  return grads;
}

// w of a tensor at the first step with the paper's estimator, in double; < 0: rounding may decide.
std::vector<double> reference_weights(const std::string& gate, std::span<const float> g_f,
                                      std::span<const float> g_r, std::span<const float> s,
                                      bool linear) {
  const auto n = g_f.size();
  std::vector<double> w(n, 1.0), phi(n);
  const auto cdf = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  for (size_t i = 0; i < n; ++i) {
    const auto z = [](double g) { return g / std::sqrt(0.1 * g * g + 1e-8); };
    const double f = cdf(z(double{g_f[i]})), r = cdf(z(double{g_r[i]}));
    phi[i] = f * r + (1 - f) * (1 - r);
  }
  if (gate == "and")
    for (size_t i = 0; i < n; ++i) w[i] = double{g_f[i]} * double{g_r[i]} < 0 ? 0 : 1;
  if (gate == "prob:0.5")
    for (size_t i = 0; i < n; ++i) w[i] = std::abs(phi[i] - 0.5) < 1e-6 ? -1 : phi[i] >= 0.5;
  if (gate == "focus") w = phi;
  if (gate == "saliency") {
    std::vector<double> size;
    for (float v : s) size.push_back(std::abs(double{v}));
    std::vector<double> sorted = size;
    std::ranges::sort(sorted);
    const double place = 0.5 * static_cast<double>(n - 1);
    const double low = sorted[static_cast<size_t>(std::floor(place))],
                 high = sorted[static_cast<size_t>(std::ceil(place))];
    const double part = place - std::floor(place);
    const double threshold = linear || part == 0 ? low + part * (high - low) : (low + high) / 2;
    for (size_t i = 0; i < n; ++i)
      w[i] = std::abs(size[i] - threshold) < 1e-12 ? -1 : size[i] >= threshold;
  }
  if (gate == "opt" || gate == "focus-opt") {
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t{0});
    const auto p = [&](size_t i) { return gate == "opt" ? 1.0 : phi[i]; };
    const auto product = [&](size_t i) { return p(i) * p(i) * double{g_f[i]} * double{g_r[i]}; };
    std::ranges::stable_sort(order, {}, product);
    for (size_t dropped = 0; dropped <= n; ++dropped) {
      double uu = 0, cc = 0, uc = 0;
      for (size_t k = dropped; k < n; ++k) {
        const double u = p(order[k]) * double{g_f[order[k]]},
                     c = p(order[k]) * double{g_r[order[k]]};
        uu += u * u, cc += c * c, uc += u * c;
      }
      if (std::min(0.05 * uu + 0.95 * uc, 0.95 * cc + 0.05 * uc) < 0) continue;
      for (size_t k = 0; k < n; ++k) w[order[k]] = k < dropped ? 0 : p(order[k]);
      break;
    }
  }
  return w;
}

}  // namespace

TEST_CASE("unlearn step: the first update of every method and gate against its formulas") {
  for (const Method& m : {kNgplus, kSrl, kScrub, kFt, kGa})
    for (const std::string gate :
         {"none", "and", "prob:0.5", "focus", "saliency", "opt", "focus-opt"}) {
      if (gate != "none" && (m.forget == nullptr || m.retain == nullptr)) continue;
      CAPTURE(std::string(m.name));
      CAPTURE(gate);
      Run run(config_of(m, gate));
      const ParamStore before = run.model.params.clone();
      const StepScalars scalars{.seed = 9, .lr = kLr};
      const Batch f = run.forget.at(0, 0), r = run.retain.at(0, 0);
      const auto of = [&](const char* objective, const Batch& batch) {
        return objective == nullptr ? Tensor::zeros(before.values().shape())
                                    : gradient(run.model, before, objective, batch, scalars);
      };
      const Tensor g_f = of(m.forget, f), g_r = of(m.retain, r), s = of("ascent", f);
      run.go(0);
      int compared = 0;
      double worst = 0;
      for (const Range& range : run.model.params.parameters()) {
        const auto part = [&](const Tensor& t) { return ParamStore::view(t, range).span(); };
        const auto saliency = m.saliency_pass ? part(s) : part(g_f);
        const auto w = reference_weights(gate, part(g_f), part(g_r), saliency, !m.saliency_pass);
        for (size_t i = 0; i < w.size(); ++i) {
          const double g =
              w[i] * (m.beta * double{part(g_r)[i]} + (1 - m.beta) * double{part(g_f)[i]});
          // Adam's first step is lr g / (|g| + eps): of a g near eps nothing is left but rounding
          if (w[i] < 0 || (g != 0 && std::abs(g) < 1e-6)) continue;
          const double expected =
              double{part(before.values())[i]} - double{kLr} * g / (std::abs(g) + 1e-8);
          worst = std::max(worst, std::abs(expected - double{part(run.model.params.values())[i]}));
          ++compared;
        }
      }
      CHECK(compared > 300);
      CHECK(worst < 1e-6);
    }
}

TEST_CASE("unlearn step: inside the backward pass and after it, one thread and two: same bits") {
  for (const char* gate : {"none", "and", "prob", "focus", "bernoulli"})
    for (const char* estimator : {"paper", "welford:2", "ema:0.9", "microbatch:4", "persample",
                                  "welford:2,shrink=on", "microbatch:4,shrink=on"}) {
      CAPTURE(std::string(gate));
      CAPTURE(std::string(estimator));
      StepConfig config = config_of(kNgplus, gate);
      config.estimator = EstimatorSpec::parse(estimator);
      set_thread_count(1);
      Run inside(config);
      for (int64_t t = 0; t < 5; ++t) inside.go(t);
      set_thread_count(2);
      config.in_backward = false;
      Run after(config);
      for (int64_t t = 0; t < 5; ++t) after.go(t);
      set_thread_count(0);
      CHECK(same_bits(inside.model.params.values(), after.model.params.values()));
      CHECK(
          same_bits(inside.model.params.statistic_values(), after.model.params.statistic_values()));
      CHECK(inside.step.state().size() == after.step.state().size());
      for (size_t i = 0; i < inside.step.state().size(); ++i)
        CHECK(same_bits(inside.step.state()[i].buffer, after.step.state()[i].buffer));
    }
}

TEST_CASE("unlearn step: probes move neither running statistics nor the direction") {
  for (const Method& m : {kFt, kGa}) {
    Run plain(config_of(m, "none")), gated(config_of(m, "top:1"));
    plain.go(0), gated.go(0);
    CHECK(same_bits(plain.model.params.statistic_values(), gated.model.params.statistic_values()));
    CHECK(same_bits(plain.model.params.values(), gated.model.params.values()));
    Run some(config_of(m, "and"));
    some.go(0);
    CHECK_FALSE(same_bits(plain.model.params.values(), some.model.params.values()));
  }
}

TEST_CASE("unlearn step: forget batch first, then the retain batch, for the running statistics") {
  Run run(config_of(kNgplus, "none"));
  nn::Model by_hand = tiny();
  const StepScalars scalars;
  for (const Batch& batch : {run.forget.at(0, 0), run.retain.at(0, 0)})
    by_hand.network->forward({.params = &by_hand.params,
                              .mode = Mode::train,
                              .batch_norm = BatchNormMode::train,
                              .scalars = &scalars},
                             {batch.x, Var::kNone});
  run.go(0);
  CHECK(same_bits(run.model.params.statistic_values(), by_hand.params.statistic_values()));
}

TEST_CASE("unlearn step: w = 0 under --gate-on update leaves the bits; padding stays zero") {
  StepConfig config = config_of(kNgplus, "random:0.25");
  config.gate_on = kernels::GateOn::update;
  Run run(config);
  const ParamStore before = run.model.params.clone();
  run.go(0);
  int64_t same = 0;
  for (const Range& range : run.model.params.parameters()) {
    const auto a = ParamStore::view(before.values(), range).span(),
               b = ParamStore::view(run.model.params.values(), range).span();
    int64_t frozen = 0;
    for (size_t i = 0; i < a.size(); ++i) frozen += std::memcmp(&a[i], &b[i], sizeof(float)) == 0;
    CHECK(frozen >= range.size - std::llround(0.25 * static_cast<double>(range.size)));
    same += frozen;
  }
  CHECK(same + run.step.report().kept >= run.step.report().parameters);
  double all = 0, named = 0;
  for (float v : run.model.params.values().span()) all += std::abs(double{v});
  for (const Range& range : run.model.params.parameters())
    for (float v : ParamStore::view(run.model.params.values(), range).span())
      named += std::abs(double{v});
  CHECK(all == doctest::Approx(named).epsilon(1e-12));
}

TEST_CASE("unlearn step: exact counts of top, random and fdr") {
  for (const auto& [gate, share] :
       {std::pair<const char*, double>{"top:0.2", 0.2}, {"top:0", 0}, {"top:1", 1}}) {
    Run run(config_of(kNgplus, gate));
    run.go(0);
    CHECK(run.step.report().kept ==
          std::llround(share * static_cast<double>(run.step.report().parameters)));
  }
  // From its second step on the paper's z is at most 1.054 in size, so phi at most 0.75: a mean
  // 1 - phi of 0.1 leaves nobody.
  StepConfig config = config_of(kNgplus, "fdr:0.1");
  config.gate_on = kernels::GateOn::update;
  Run none(config);
  none.go(0);
  CHECK(none.step.report().kept > 0);
  const ParamStore after_first = none.model.params.clone();
  none.go(1);
  CHECK(none.step.report().kept == 0);
  CHECK(same_bits(none.model.params.values(), after_first.values()));
}

TEST_CASE("unlearn step: what a step reads depends on epoch and step alone") {
  Run whole(config_of(kSrl, "focus")), first(config_of(kSrl, "focus"));
  for (int64_t t = 0; t < 7; ++t) whole.go(t);
  for (int64_t t = 0; t < 3; ++t) first.go(t);
  // another object goes on from the buffers of the first
  Run second(config_of(kSrl, "focus"));
  second.model.params.values().copy_from(first.model.params.values());
  second.model.params.statistic_values().copy_from(first.model.params.statistic_values());
  for (size_t i = 0; i < 2; ++i)
    second.optimizer.state()[i].buffer.copy_from(first.optimizer.state()[i].buffer);
  for (size_t i = 0; i < first.step.state().size(); ++i)
    second.step.state()[i].buffer.copy_from(first.step.state()[i].buffer);
  for (int64_t t = 3; t < 7; ++t) second.go(t);
  CHECK(same_bits(whole.model.params.values(), second.model.params.values()));
}

TEST_CASE("unlearn step: before the estimator knows anything, none updates and hold does not") {
  for (Warmup warmup : {Warmup::none, Warmup::hold}) {
    StepConfig config = config_of(kNgplus, "prob:0.5");
    config.estimator = EstimatorSpec::parse("welford:3");
    config.warmup = warmup;
    Run run(config), plain(config_of(kNgplus, "none"));
    run.go(0), run.go(1), plain.go(0), plain.go(1);
    const Tensor expected =
        warmup == Warmup::hold ? tiny().params.values() : plain.model.params.values();
    CHECK(same_bits(run.model.params.values(), expected));
    run.go(2);
    CHECK_FALSE(same_bits(run.model.params.values(), expected));
  }
}

TEST_CASE("unlearn step: a loss that is not finite leaves the weights alone") {
  Run run(config_of(kNgplus, "and"));
  for (float& v : run.model.params.values().span()) v *= 1e30f;
  const ParamStore before = run.model.params.clone();
  CHECK_FALSE(std::isfinite(run.go(0).loss));
  CHECK(same_bits(run.model.params.values(), before.values()));
}

TEST_CASE("wrong label: never the true one, all others about equally often") {
  std::vector<int> count(kClasses);
  for (int32_t i = 0; i < 4000; ++i)
    ++count[static_cast<size_t>(wrong_label(1, i % 7, i, 2, kClasses))];
  CHECK(count[2] == 0);
  for (size_t c : {0u, 1u, 3u, 4u}) CHECK(std::abs(count[c] - 1000) < 150);
  CHECK(wrong_label(1, 0, 5, 0, 2) == 1);
}

TEST_CASE("gates and estimators: names, values and what is refused") {
  CHECK(GateSpec::parse("prob").value == 0.3);
  CHECK(GateSpec::parse("prob:0.7").value == 0.7);
  CHECK(EstimatorSpec::parse("welford:4,cdf=normal").block == 4);
  CHECK_FALSE(EstimatorSpec::parse("welford:4,cdf=normal").student);
  CHECK(EstimatorSpec::parse("ema:0.95").student);
  for (const char* bad : {"focsu", "prob:", "prob:x", "prob:1.5", "prob:nan", "and:1", ""})
    CHECK(test::error_code([&] { GateSpec::parse(bad); }) == ExitCode::usage);
  CHECK(test::contains(test::error_text([] { GateSpec::parse("focsu"); }), "'focus'"));
  for (const char* bad :
       {"paper:1", "welford:1", "welford:", "ema:0.5", "ema:1", "ema:0.9,cdf=t", "x"})
    CHECK(test::error_code([&] { EstimatorSpec::parse(bad); }) == ExitCode::usage);
}

}  // namespace expunge::unlearn
