#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/distance.h"
#include "eval/scores.h"

namespace expunge::eval {

// A model's scores, and what it says about F.
struct Measured {
  Scores scores;
  Outputs forget;
};

// One metric against the retrained models. A gap in units of their spread needs two of them or
// more, and a spread that is not 0; otherwise it is kNotMeasured.
struct Gap {
  const Metric* metric;
  double value;
  Spread reference;
  double gap;      // value - reference.mean
  double spreads;  // gap / reference.sd
};

// A model against retrained models: an attack is judged by its distance to their value, not by
// being low. Beside each number, the same among the retrained models: what chance alone does.
struct Comparison {
  int64_t references = 0;
  std::vector<Gap> gaps{};  // by metrics()
  double rUA =
      kNotMeasured;  // accuracy on F - the references' mean; positive: too little unlearned
  // Mean of |X - X_ref| over UA, retain_acc, test_acc and svc_confidence, in percent (Fan et al.
  // 2024), X_ref the references' mean; among: mean over pairs of references.
  double average_gap = kNotMeasured, average_gap_among = kNotMeasured;
  Distance forget{};  // on F: mean over references q, KL(q || model)
  Distance among{};   // mean over ordered pairs of references
};
// At least one reference, and all on the same F.
Comparison compare(const Measured& model, std::span<const Measured> references);

// What a reader of the scores must know, a sentence each. `references` may be empty.
std::vector<std::string> warnings(const Scores& scores, std::span<const Measured> references);

}  // namespace expunge::eval
