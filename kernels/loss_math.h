#pragma once

#include <cmath>

#include "core/hd.h"
#include "kernels/loss.h"

// Row i of the losses in loss.h. A row is worked on by one thread (Alone) or by the lanes of a
// warp: lane `first` of `step` takes columns first, first + step, ...; max and sum are over the
// lanes, and every lane gets them. In double: a loss is compared with others to many digits.
namespace expunge::math {

struct Alone {
  static constexpr int64_t first = 0, step = 1;
};
EXPUNGE_HD double max(Alone, double x) {
  return x;
}
EXPUNGE_HD double sum(Alone, double x) {
  return x;
}

// log softmax of z / T at c is z[c] / T - log_sum_exp.
template <class Lane>
EXPUNGE_HD double log_sum_exp(Lane lane, const float* z, int64_t C, double temperature) {
  double top = -double{INFINITY};
  for (int64_t c = lane.first; c < C; c += lane.step) top = double{z[c]} > top ? double{z[c]} : top;
  top = max(lane, top) / temperature;
  double total = 0;
  for (int64_t c = lane.first; c < C; c += lane.step)
    total += std::exp(double{z[c]} / temperature - top);
  return top + std::log(sum(lane, total));
}

template <class Lane>
EXPUNGE_HD void write_loss(Lane lane, float* losses, int64_t i, double loss) {
  if (lane.first == 0) losses[i] = static_cast<float>(loss);
}

template <class Lane>
EXPUNGE_HD void softmax_xent(Lane lane, const kernels::SoftmaxXent& a, int64_t i, float* losses,
                             float* gradient) {
  const float* z = a.logits + i * a.C;
  const double log_sum = log_sum_exp(lane, z, a.C, 1.0);
  const double even = double{a.smoothing} / static_cast<double>(a.C);
  double loss = 0;
  for (int64_t c = lane.first; c < a.C; c += lane.step) {
    const double t = a.soft_targets != nullptr
                         ? double{a.soft_targets[i * a.C + c]}
                         : even + (c == a.labels[i] ? 1.0 - double{a.smoothing} : 0.0);
    const double log_p = double{z[c]} - log_sum;
    if (t != 0.0) loss -= t * log_p;
    if (gradient != nullptr) gradient[i * a.C + c] = static_cast<float>(std::exp(log_p) - t);
  }
  write_loss(lane, losses, i, sum(lane, loss));
}

template <class Lane>
EXPUNGE_HD void softmax_kl(Lane lane, int64_t C, const float* student, const float* teacher,
                           double T, int64_t i, float* losses, float* gradient) {
  const float *s = student + i * C, *t = teacher + i * C;
  const double log_sum_s = log_sum_exp(lane, s, C, T), log_sum_t = log_sum_exp(lane, t, C, T);
  double loss = 0;
  for (int64_t c = lane.first; c < C; c += lane.step) {
    const double log_s = double{s[c]} / T - log_sum_s, log_t = double{t[c]} / T - log_sum_t;
    const double p_t = std::exp(log_t);
    if (p_t != 0.0) loss += p_t * (log_t - log_s);
    if (gradient != nullptr) gradient[i * C + c] = static_cast<float>(T * (std::exp(log_s) - p_t));
  }
  write_loss(lane, losses, i, T * T * sum(lane, loss));
}

template <class Lane>
EXPUNGE_HD void softmax_scrub(Lane lane, int64_t C, const float* student, const float* teacher,
                              int64_t i, float* losses, float* gradient) {
  const float *s = student + i * C, *t = teacher + i * C;
  const double log_sum_s = log_sum_exp(lane, s, C, 1.0), log_sum_t = log_sum_exp(lane, t, C, 1.0);
  const auto log_s = [&](int64_t c) { return double{s[c]} - log_sum_s; };
  const auto f = [&](int64_t c) { return log_s(c) - std::exp(double{t[c]} - log_sum_t); };
  double part = 0;
  for (int64_t c = lane.first; c < C; c += lane.step) part += std::exp(log_s(c)) * f(c);
  const double loss = sum(lane, part);
  write_loss(lane, losses, i, loss);
  if (gradient == nullptr) return;
  for (int64_t c = lane.first; c < C; c += lane.step)
    gradient[i * C + c] = static_cast<float>(std::exp(log_s(c)) * (f(c) - loss));
}

template <class Lane>
EXPUNGE_HD void squared_error(Lane lane, int64_t C, const float* x, const float* targets, int64_t i,
                              float* losses, float* gradient) {
  double loss = 0;
  for (int64_t k = i * C + lane.first; k < (i + 1) * C; k += lane.step) {
    const double d = double{x[k]} - double{targets[k]};
    loss += d * d;
    if (gradient != nullptr) gradient[k] = static_cast<float>(2.0 * d / static_cast<double>(C));
  }
  write_loss(lane, losses, i, sum(lane, loss) / static_cast<double>(C));
}

// A row of few classes: one thread looks at all of them.
EXPUNGE_HD float top1(int64_t C, const float* row, int32_t label) {
  int64_t best = 0;
  for (int64_t c = 1; c < C; ++c) best = row[c] > row[best] ? c : best;
  return best == label ? 1.0f : 0.0f;
}

template <class Lane>
EXPUNGE_HD void softmax(Lane lane, int64_t C, const float* x, int64_t i, float* y) {
  const double log_sum = log_sum_exp(lane, x + i * C, C, 1.0);
  for (int64_t c = lane.first; c < C; c += lane.step)
    y[i * C + c] = static_cast<float>(std::exp(double{x[i * C + c]} - log_sum));
}

}  // namespace expunge::math
