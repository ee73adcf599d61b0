#include "eval/scores.h"

#include <fmt/core.h>

#include <algorithm>

namespace expunge::eval {
namespace {

constexpr const char* kAsRetrained = "as retrained";

PartScores part_scores(const Outputs& outputs) {
  if (outputs.empty()) return {};
  int64_t correct = 0;
  for (int64_t i = 0; i < outputs.samples(); ++i) correct += outputs.correct(i);
  return {outputs.samples(), static_cast<double>(correct) / static_cast<double>(outputs.samples()),
          spread_of(outputs.losses).mean};
}

std::vector<double> negated(std::vector<double> values) {
  for (double& v : values) v = -v;
  return values;
}

std::vector<double> threshold_scores(const Outputs& outputs, ThresholdScore score) {
  switch (score) {
    case ThresholdScore::confidence:
      return negated(outputs.losses);
    case ThresholdScore::entropy:
      return negated(entropies(outputs));
    case ThresholdScore::modified_entropy:
      return negated(modified_entropies(outputs, ModifiedEntropy::correct));
  }
  return {};
}

void add_parts(std::vector<Metric>& table) {
  struct Part {
    const char *name, *words;
    PartScores Scores::*part;
  };
  const Part parts[] = {{"forget", "the forget samples", &Scores::forget},
                        {"retain", "the retained samples", &Scores::retain},
                        {"val", "the validation samples", &Scores::val},
                        {"test", "the test samples", &Scores::test}};
  for (const Part& p : parts)
    table.push_back({fmt::format("{}_acc", p.name), fmt::format("accuracy on {}", p.words),
                     kAsRetrained, Unit::share,
                     [part = p.part](const Scores& s) { return (s.*part).accuracy; }});
  table.push_back({"UA", "unlearning accuracy: 1 - accuracy on the forget samples", kAsRetrained,
                   Unit::share, [](const Scores& s) { return 1 - s.forget.accuracy; }});
  for (const Part& p : parts)
    table.push_back({fmt::format("{}_loss", p.name), fmt::format("mean loss on {}", p.words),
                     kAsRetrained, Unit::nats,
                     [part = p.part](const Scores& s) { return (s.*part).loss; }});
}

void add_svc(std::vector<Metric>& table) {
  for (size_t i = 0; i < kFeatures.size(); ++i) {
    const char* feature = name_of(kFeatures[i]);
    table.push_back({fmt::format("svc_{}", feature),
                     fmt::format("forget samples that an SVC on the {} calls members", feature),
                     kAsRetrained, Unit::share,
                     [i](const Scores& s) { return s.svc[i].member_share; }});
    table.push_back({fmt::format("svc_{}_training", feature),
                     "how well that SVC tells apart its own training samples", kAsRetrained,
                     Unit::share, [i](const Scores& s) { return s.svc[i].training_accuracy; }});
  }
}

void add_loss_and_threshold(std::vector<Metric>& table) {
  table.push_back({"loss_attack", "accuracy of telling forget from test samples by their loss",
                   "as retrained, 50% where both are alike", Unit::share,
                   [](const Scores& s) { return s.loss_attack.accuracy; }});
  table.push_back({"loss_attack_sd", "its standard deviation over the folds", "small", Unit::share,
                   [](const Scores& s) { return s.loss_attack.sd; }});
  const char* names[kThresholdScores.size()] = {"confidence", "entropy", "modified_entropy"};
  struct Value {
    const char *suffix, *words, *ideal;
    double ThresholdAttack::*value;
  };
  const Value values[] = {{"auc", "AUC of forget against test samples by",
                           "as retrained, 50% where both are alike", &ThresholdAttack::auc},
                          {"tpr_at_1", "forget samples found at 1% false alarms by",
                           "as retrained, about 1%", &ThresholdAttack::tpr_at_1_percent},
                          {"tpr_at_0.1", "forget samples found at 0.1% false alarms by",
                           "as retrained, about 0.1%", &ThresholdAttack::tpr_at_0_1_percent}};
  for (size_t i = 0; i < kThresholdScores.size(); ++i)
    for (const Value& v : values)
      table.push_back({fmt::format("{}_{}", names[i], v.suffix),
                       fmt::format("{} {}", v.words, names[i]), v.ideal, Unit::share,
                       [i, value = v.value](const Scores& s) { return s.threshold[i].*value; }});
}

}  // namespace

Scores score(const Parts& parts, const ScoreConfig& config, const std::function<bool()>& go_on) {
  const auto stopped = [&] { return go_on && !go_on(); };
  Scores s{.forget = part_scores(parts.forget),
           .retain = part_scores(parts.retain),
           .val = part_scores(parts.val),
           .test = part_scores(parts.test)};
  if (parts.forget.empty() || parts.test.empty()) return s;
  const Outputs unseen = with_labels_of(parts.test, parts.forget);
  s.unseen = unseen.samples();
  if (config.threshold && s.unseen > 0)
    for (size_t i = 0; i < kThresholdScores.size(); ++i)
      s.threshold[i] = threshold_attack(threshold_scores(parts.forget, kThresholdScores[i]),
                                        threshold_scores(unseen, kThresholdScores[i]));
  if (config.loss && std::min(s.unseen, s.forget.samples) >= 2 && !stopped())
    s.loss_attack = loss_attack(parts.forget.losses, unseen.losses, config.loss_attack);
  if (config.svc && !parts.retain.empty()) {
    std::vector<SvcAttackOn> all;
    for (const Feature feature : kFeatures) {
      const auto of = [&](const Outputs& outputs) {
        return features(outputs, feature, config.modified_entropy);
      };
      all.push_back({of(parts.retain), of(parts.test), of(parts.forget)});
    }
    std::ranges::copy(svc_attacks(all, go_on), s.svc.begin());
  }
  return s;
}

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> table = [] {
    std::vector<Metric> t;
    add_parts(t);
    add_svc(t);
    add_loss_and_threshold(t);
    return t;
  }();
  return table;
}

const Metric& metric(const std::string& name) {
  const auto it = std::find_if(metrics().begin(), metrics().end(),
                               [&](const Metric& m) { return m.name == name; });
  EXPUNGE_CHECK(it != metrics().end(), "metrics: no \"{}\"", name);
  return *it;
}

}  // namespace expunge::eval
