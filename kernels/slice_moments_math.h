#pragma once

#include <cmath>
#include <cstdint>

#include "core/batch_parts.h"
#include "core/hd.h"

// Mean and squared error of a gradient from the slices of one batch (docs/unlearning.md). A batch
// of B images is cut into k slices of n_j images; c_j is what slice j contributes to the batch's
// mean gradient, so that its own mean gradient is g_j = (B / n_j) c_j and
//   mean = sum_j c_j,   SE^2 = sum_j n_j (g_j - mean)^2 / ((k - 1) B).
// West's update (Communications of the ACM 22, 1979) for weights n_j, with the sum T instead of the
// mean: W images came before,
//   delta = (B / n) c - (B / W) T,   SE^2 += n W / ((W + n) (k - 1) B) delta^2,   T += c
namespace expunge::math {

struct SliceRule {
  float slice;   // B / n
  float before;  // B / W; 0 at the first slice
  float error;   // n W / ((W + n) (k - 1) B)
  // at the first slice: what SE^2 begins with, 0, or infinity where no other will come
  float start;
};
// The rules of a run of slices that are taken in together.
struct SliceRules {
  int count = 0;
  SliceRule of[kSlicesTogether]{};
  EXPUNGE_MEMBER_HD bool from_start() const { return of[0].before == 0.0f; }
};
EXPUNGE_HD void slice_moments(const SliceRule& r, float c, float& sum, float& squared_error) {
  const bool first = r.before == 0.0f;
  const float delta = r.slice * c - r.before * sum;
  squared_error = first ? r.start : squared_error + r.error * (delta * delta);
  sum = first ? c : sum + c;
}

// SE^2 of a gradient dy^T x from its rows (slice_moments.h): (dy x)^2 of one, then all together.
EXPUNGE_HD double squared_product(float dy, float x) {
  const double dy2 = double{dy} * double{dy};
  return dy2 == 0 ? 0 : dy2 * (double{x} * double{x});
}
EXPUNGE_HD float product_error(double squares, float mean, int64_t rows) {
  if (rows < 2) return INFINITY;
  const auto N = static_cast<double>(rows);
  const double spread = N * squares - double{mean} * double{mean};
  return spread > 0 ? static_cast<float>(spread / (N - 1)) : 0.0f;
}

}  // namespace expunge::math
