#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "eval/features.h"
#include "eval/loss_attack.h"
#include "eval/svc_attack.h"
#include "eval/threshold_attack.h"

namespace expunge::eval {

// A model's outputs on the parts of an experiment: F, R, validation, T. Empty: there is none.
struct Parts {
  Outputs forget{}, retain{}, val{}, test{};
};

struct PartScores {
  int64_t samples = 0;
  double accuracy = kNotMeasured, loss = kNotMeasured;  // loss: mean cross-entropy, nats
};

// Scores that a threshold separates F from T by; each is high where a model is sure.
enum class ThresholdScore : unsigned char { confidence, entropy, modified_entropy };
inline constexpr std::array kThresholdScores = {
    ThresholdScore::confidence,        // -loss = log p_y
    ThresholdScore::entropy,           // -entropy
    ThresholdScore::modified_entropy,  // minus the correct modified entropy
};

// Everything measured about one model. What was not measured is kNotMeasured (NaN).
struct Scores {
  PartScores forget{}, retain{}, val{}, test{};
  std::array<SvcAttack, kFeatures.size()> svc{};  // by kFeatures
  int64_t unseen = 0;                             // samples of T whose class is in F
  LossAttack loss_attack{};                       // F against those
  // F against those, by kThresholdScores
  std::array<ThresholdAttack, kThresholdScores.size()> threshold{};
};

struct ScoreConfig {
  bool svc = true, loss = true, threshold = true;
  ModifiedEntropy modified_entropy = ModifiedEntropy::correct;  // of the SVC's feature
  LossAttackConfig loss_attack{};
};

// The loss and threshold attacks compare F with the test samples of F's own classes, as SCRUB does:
// with all of T, forgetting a class would measure how hard that class is. The SVC attack takes all
// of T, as published. `go_on` is asked between attacks, of the SVC by several threads; where it says
// no, the rest is not measured.
Scores score(const Parts& parts, const ScoreConfig& config,
             const std::function<bool()>& go_on = {});

// A number of Scores by name: text, CSV and JSON come from walking the table.
enum class Unit : unsigned char { share, nats };  // a share is shown in percent
struct Metric {
  std::string name;   // "forget_acc"
  std::string words;  // "accuracy on the forget samples"
  std::string ideal;  // "as retrained"
  Unit unit;
  std::function<double(const Scores&)> get;
};
const std::vector<Metric>& metrics();
const Metric& metric(const std::string& name);  // one that is in the table

}  // namespace expunge::eval
