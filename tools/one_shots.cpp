#include "tools/one_shots.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/check.h"
#include "data/draw_order.h"

namespace expunge::tools {
namespace {

using unlearn::OneShotKind;

struct Fixed {
  const char *name, *value;
};
constexpr Fixed kFixed[] = {{"epochs", "1"},
                            {"optimizer", "sgd"},
                            {"lr", "0"},
                            {"momentum", "0"},
                            {"weight-decay", "0"},
                            {"beta", "0"},
                            {"gate", "none"},
                            {"gate-on", "gradient"},
                            {"estimator", "paper"},
                            {"cdf", "default"},
                            {"warmup-gate", "none"},
                            {"audit", "0"},
                            {"audit-every", "1"},
                            {"max-steps", "0"},
                            {"schedule", "constant"},
                            {"retain-fraction", "1"},
                            {"rewind", "false"},
                            {"bn", "eval"},
                            {"unlearn-augment", "none"}};

// Where F is all there was of one class: that class. Otherwise -1.
int64_t forgotten_class(const Experiment& e) {
  const auto label = [&](int32_t p) { return int64_t{e.data.labels[static_cast<size_t>(p)]}; };
  if (e.forgotten.empty()) return -1;
  const int64_t first = label(e.forgotten.front());
  const bool one = std::ranges::all_of(e.forgotten, [&](int32_t p) { return label(p) == first; }),
             rest = std::ranges::any_of(e.train, [&](int32_t p) { return label(p) == first; });
  return one && !rest ? first : -1;
}

// N of R one by one, in the order of the data set: the first ones, as Unlearn-Sparse takes them
// (it stops two late), or drawn.
data::LoaderConfig single_samples(const Experiment& e, const unlearn::InfluenceConfig& config,
                                  uint64_t seed) {
  std::vector<int32_t> positions = e.train;
  if (!config.optml) data::shuffle_keyed(positions, seed, rng::Purpose::shuffle, 0);
  const int64_t n = config.samples + (config.optml ? 2 : 0);
  positions.resize(static_cast<size_t>(std::min(std::ssize(positions), n)));
  std::ranges::sort(positions);
  return {.positions = positions, .batch_size = 1};
}

}  // namespace

void resolve_one_shot(Settings& s, const unlearn::Method& method) {
  if (s.text("preset") != method.preset)
    fail(ExitCode::usage, "--preset {}: {} has only its own", s.text("preset"), method.name);
  for (const Fixed& fixed : kFixed) {
    if (s.given(fixed.name) && s.text(fixed.name) != fixed.value)
      fail(ExitCode::usage,
           "--{} {}: {} changes the weights once and without an optimizer; leave it away",
           fixed.name, s.text(fixed.name), method.name);
    s.set(fixed.name, fixed.value, s.source(fixed.name), "preset");
  }
}

OneShotParts one_shot_parts(const Settings& s, Experiment& e, const unlearn::Method& method) {
  unlearn::OneShotSpec spec = unlearn::OneShotSpec::parse(s.text("method"));
  spec.fisher.forgotten_class = forgotten_class(e);
  const auto seed = static_cast<uint64_t>(s.integer("seed"));
  OneShotParts parts;
  std::vector<unlearn::Leg> legs;
  const auto add = [&](data::LoaderConfig config, int64_t rounds = 1) {
    parts.sources.push_back(std::make_unique<data::Loader>(e.data, std::move(config)));
    legs.push_back({*parts.sources.back(), rounds});
  };
  const auto batches = [&](const std::vector<int32_t>& positions) {
    return data::LoaderConfig{.positions = positions,
                              .batch_size = s.integer("batch-size"),
                              .shuffle = true,
                              .seed = seed};
  };
  if (method.one_shot != OneShotKind::fisher) add(batches(e.forgotten));
  if (method.one_shot == OneShotKind::ssd) {
    std::vector<int32_t> all;
    std::ranges::merge(e.train, e.forgotten, std::back_inserter(all));
    add(batches(all));
  } else {
    add(batches(e.train));
  }
  if (method.one_shot == OneShotKind::influence)
    add(single_samples(e, spec.influence, seed),
        spec.influence.optml ? 1 : spec.influence.iterations);
  parts.source = std::make_unique<unlearn::LegSource>(legs);
  parts.step = unlearn::make_one_shot(method, spec, e.model, legs);
  return parts;
}

}  // namespace expunge::tools
