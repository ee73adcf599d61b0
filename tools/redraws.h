#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "unlearn/estimator.h"

// Linear regression where the true mean gradient is known: y = x . theta* + noise, x in {-1, 1}^4,
// squared loss, stochastic gradients of one coordinate,
//   g = x_0 (x . delta - noise),   delta = theta - theta*,   E g = delta_0.
// Each redraw is a coordinate pair of its own (forget, retain) with its own delta, noise level and
// samples; the statistics are those of an unlearning run (unlearn/estimator.h), all redraws side by
// side as one parameter.
namespace expunge::tools {

// What the true means and the noise level are drawn from.
enum class Law : unsigned char {
  // Means uniform and noise log-uniform, both far beyond the pairs that count: those whose SE lies
  // in the middle. There P(true mean > 0) given m and SE is Student's G(m / SE). Wide enough from
  // about 5 degrees of freedom on.
  wide,
  one_noise,  // means uniform, noise 1: large SE then leads to a given z more often than small
  narrow,     // means N(0, (SE / 2)^2), noise 1
};

struct RedrawConfig {
  uint64_t seed = 1;
  int key = 0;  // tells the draws of estimators apart
  int64_t redraws = 100000;
  int64_t batch = 16;
  int64_t ema_steps = 40;  // welford takes one block, the others one batch
};

class Redraws {
 public:
  // Estimator paper: ExitCode::usage, for it has no SE.
  Redraws(const RedrawConfig& config, const std::string& estimator, Law law);
  ~Redraws();
  Redraws(const Redraws&) = delete;
  Redraws& operator=(const Redraws&) = delete;

  int64_t size() const { return redraws_; }
  double degrees() const;                     // of freedom
  bool counts(int64_t r) const;               // see Law::wide
  bool agree(int64_t r) const;                // the true means, in sign
  std::vector<float> phi(bool shrink) const;  // of every pair
  std::vector<float> pit() const;             // T((m - true mean) / SE) of both sides

 private:
  class Side;
  std::unique_ptr<Side> forget_, retain_;
  int64_t redraws_;
};

}  // namespace expunge::tools
