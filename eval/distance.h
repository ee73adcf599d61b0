#pragma once

#include "eval/outputs.h"
#include "eval/spread.h"

namespace expunge::eval {

// How far a model's outputs p are from a reference's q on the same samples, each a mean over them.
struct Distance {
  double agreement = kNotMeasured;  // share with the same predicted class (the paper's FID)
  double kl = kNotMeasured;         // KL(q || p) = sum_i q_i log(q_i / p_i), nats
  double js = kNotMeasured;         // (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2; at most log 2
  double l2 = kNotMeasured;         // |p - q|_2 (activation distance, Golatkar et al. 2020)
};
// Other samples, or in another order: ExitCode::internal. No samples: not measured.
Distance distance(const Outputs& model, const Outputs& reference);

Distance mean_of(std::span<const Distance> distances);  // of none: not measured

}  // namespace expunge::eval
