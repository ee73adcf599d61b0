#include "tools/measure.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/nearest.h"
#include "data/corrupt.h"
#include "data/draw_order.h"
#include "eval/accuracy.h"
#include "tools/score_cache.h"
#include "tools/signals.h"

namespace expunge::tools {
namespace {

bool go_on() {
  return !stop_requested();
}

}  // namespace

eval::ScoreConfig score_config(const Settings& s, const Experiment& e) {
  eval::ScoreConfig config{.svc = false, .loss = false, .threshold = false};
  config.modified_entropy = eval::parse_modified_entropy(s.text("modified-entropy"));
  const bool all = s.text("attacks") == "auto" && !e.forgotten.empty();
  if (all) config.svc = config.loss = config.threshold = true;
  if (s.text("attacks") == "auto") return config;
  const std::vector<std::string> known = {"svc", "loss", "threshold", "none", "auto", "ulira"};
  for (const std::string& name : s.list("attacks")) {
    if (name == "svc")
      config.svc = true;
    else if (name == "loss")
      config.loss = true;
    else if (name == "threshold")
      config.threshold = true;
    else if (name == "ulira" && s.verb() != "eval")
      fail(ExitCode::usage,
           "--attacks: ulira trains networks of its own for one run; expunge eval RUN --attacks "
           "ulira");
    else if (name != "none" && name != "ulira")
      fail(ExitCode::usage, "--attacks: '{}' is not known{}", name, nearest_hint(name, known));
  }
  return config;
}

bool any_attack(const eval::ScoreConfig& config) {
  return config.svc || config.loss || config.threshold;
}

eval::Outputs outputs_of(const Experiment& e, const nn::Model& model,
                         const std::vector<int32_t>& positions, int64_t batch_size) {
  if (positions.empty()) return {};
  data::Loader loader(e.data, plain_batches(positions, batch_size));
  return eval::collect_outputs(model, loader, go_on);
}

eval::Parts outputs_of(const Experiment& e, const nn::Model& model) {
  return {.forget = outputs_of(e, model, e.forgotten),
          .retain = outputs_of(e, model, e.train),
          .val = outputs_of(e, model, e.split.val),
          .test = outputs_of(e, model, e.split.test)};
}

eval::Scores measure(const Experiment& e, const eval::Parts& parts,
                     const std::filesystem::path& run, const std::filesystem::path& weights,
                     const eval::ScoreConfig& config) {
  const std::string key = score_key(e, weights, config);
  if (const auto scores = read_scores(run, key)) return *scores;
  eval::Scores scores;
  if (go_on()) scores = eval::score(parts, config, go_on);
  if (go_on()) write_scores(run, key, scores);
  return scores;
}

eval::Measured measure(const Experiment& e, const nn::Model& model,
                       const std::filesystem::path& run, const std::filesystem::path& weights,
                       const eval::ScoreConfig& config) {
  if (const auto scores = read_scores(run, score_key(e, weights, config)))
    return {*scores, outputs_of(e, model, e.forgotten)};
  eval::Parts parts = outputs_of(e, model);
  eval::Scores scores = measure(e, parts, run, weights, config);
  return {scores, std::move(parts.forget)};
}

std::vector<int32_t> few_of(std::vector<int32_t> positions, const std::string& digest,
                            size_t most) {
  if (positions.size() <= most) return positions;
  data::shuffle_keyed(positions, data::draw_key(digest, 0), rng::Purpose::split, 1u << 16);
  positions.resize(most);
  return positions;
}

TriggeredTest::TriggeredTest(const Experiment& e, size_t most)
    : set_(data::triggered_test(e.data, e.split.test)) {
  std::vector<int32_t> positions(static_cast<size_t>(set_.count()));
  std::iota(positions.begin(), positions.end(), 0);
  if (most > 0) positions = few_of(positions, e.data.digest, most);
  if (!positions.empty())
    loader_ = std::make_unique<data::Loader>(set_, plain_batches(std::move(positions)));
}

double TriggeredTest::success(const nn::Model& model) const {
  if (loader_ == nullptr) return eval::kNotMeasured;
  const eval::Accuracy a = eval::measure_accuracy(model, *loader_, go_on);
  return stop_requested() ? eval::kNotMeasured : a.accuracy();
}

}  // namespace expunge::tools
