#pragma once

#include <cstdint>
#include <vector>

// U-LiRA: the likelihood-ratio attack on unlearning, sample by sample (Hayes et al., "Inexact
// unlearning needs more careful evaluations to avoid a false sense of privacy", arXiv 2403.01218;
// LiRA itself: Carlini et al., S&P 2022). Every shadow network forgot one half of F and never saw
// the other; the attacker tells, of networks held out, which is which. A network retrained without
// F knows neither half, and which half is which was drawn at random: nothing can tell them apart,
// AUC 1/2.
namespace expunge::eval {

// What N shadows say about the S samples of F. Shadows 2j and 2j + 1 forgot opposite halves.
struct ShadowMargins {
  int64_t shadows = 0, samples = 0;  // N: even, kLeastShadows or more
  std::vector<double> margins{};     // (N, S) logit of p_y; Outputs::margins
  std::vector<uint8_t> forgotten{};  // (N, S) 1: forgot it, 0: never saw it
};
inline constexpr int64_t kLeastShadows = 8;

// Fits take variances over samples together where there are fewer shadows.
inline constexpr int64_t kOwnVariance = 64;
// Of margins in nats that come from float32 logits: smaller ones are rounding.
inline constexpr double kLeastVariance = 1e-12;

// score(k, s) = log N(z; m_f, v_f) - log N(z; m_n, v_n),   z = margins(k, s)       (N, S)
// The pair of shadows that k belongs to is held out. Each class c, f(orgotten) and n(ever), has
// n = N/2 - 1 of the others, for every s. (Leaving out k alone would leave n and n + 1 of them: k's
// own class would be fitted worse, and the AUC be below 1/2 without any difference, .475 for N
// = 8.)
//   m_c(s) = mean of class c's margins of s
//   v_c    = sum_s sum_c (margin - m_c(s))^2 / (S (n - 1)),   N < kOwnVariance
//   v_c(s) = sum_c (margin - m_c(s))^2 / (n - 1),             otherwise; >= kLeastVariance
std::vector<double> ulira_scores(const ShadowMargins& shadows);

// A number of all N x S scores together, and its 95 % interval by the jackknife over the P = N/2
// pairs, which are what was drawn independently:
//   value -+ t_{.975, P-1} sqrt((P - 1)/P sum_j (value_j - mean)^2),   within [0, 1]
// value_j is the number without pair j, neither held out nor in the fits. (Drawing held-out shadows
// again with the fits as they are leaves out that they share them; docs/evaluation.md has figures.)
struct Interval {
  double value, low, high;
};
struct Ulira {
  Interval auc;               // positives: forgotten
  Interval tpr_at_1_percent;  // Roc::tpr_at(0.01)
  Interval accuracy;          // score > 0 means forgotten
};
// Sizes that do not fit, N odd or too small, a pair with the same halves: ExitCode::internal.
Ulira ulira(const ShadowMargins& shadows);

}  // namespace expunge::eval
