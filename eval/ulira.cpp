#include "eval/ulira.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/parallel.h"
#include "core/student_t.h"
#include "eval/spread.h"
#include "eval/threshold_attack.h"

namespace expunge::eval {
namespace {

constexpr int64_t kNone = -1;

void check(const ShadowMargins& m) {
  const auto size = static_cast<size_t>(m.shadows * m.samples);
  EXPUNGE_CHECK(m.shadows >= kLeastShadows && m.shadows % 2 == 0 && m.samples > 0 &&
                    m.margins.size() == size && m.forgotten.size() == size,
                "ulira: {} shadows, {} samples, {} margins, {} memberships", m.shadows, m.samples,
                m.margins.size(), m.forgotten.size());
  for (int64_t pair = 0; pair < m.shadows / 2; ++pair)
    for (int64_t s = 0; s < m.samples; ++s) {
      const auto at = static_cast<size_t>(2 * pair * m.samples + s);
      EXPUNGE_CHECK(m.forgotten[at] + m.forgotten[at + static_cast<size_t>(m.samples)] == 1,
                    "ulira: shadows {} and {} must have forgotten opposite halves", 2 * pair,
                    2 * pair + 1);
    }
}

// One class's margins of one sample: of all shadows, or without some.
struct Gaussian {
  double mean = 0, squares = 0, variance = 0;  // squares: sum (margin - mean)^2
  double log_density(double z) const {         // without log sqrt(2 pi)
    return -(std::log(variance) + (z - mean) * (z - mean) / variance) / 2;
  }
};
struct Fit {
  Gaussian of[2];  // never, forgotten
};

class Attack {
 public:
  explicit Attack(const ShadowMargins& m) : m_(m), all_(static_cast<size_t>(m.samples)) {
    check(m);
    const auto n = static_cast<double>(pairs());
    each([&](Gaussian& g, double margin) { g.mean += margin / n; });
    each([](Gaussian& g, double margin) { g.squares += (margin - g.mean) * (margin - g.mean); });
  }

  int64_t pairs() const { return m_.shadows / 2; }

  // (N, S), as if the pair `without` had never been there: its own scores stay 0.
  std::vector<double> scores(int64_t without) const {
    std::vector<double> scores(m_.margins.size());
    for (int64_t pair = 0; pair < pairs(); ++pair) {
      if (pair == without) continue;
      const std::vector<Fit> fits = fits_without(pair, without);
      for (int64_t k = 2 * pair; k < 2 * pair + 2; ++k)
        for (int64_t s = 0; s < m_.samples; ++s) {
          const Fit& fit = fits[static_cast<size_t>(s)];
          const double z = m_.margins[at(k, s)];
          scores[at(k, s)] = fit.of[1].log_density(z) - fit.of[0].log_density(z);
        }
    }
    return scores;
  }

  Roc roc(int64_t without) const {
    std::vector<double> sides[2];
    const std::vector<double> all = scores(without);
    for (int64_t k = 0; k < m_.shadows; ++k)
      for (int64_t s = 0; s < m_.samples && k / 2 != without; ++s)
        sides[m_.forgotten[at(k, s)]].push_back(all[at(k, s)]);
    return roc_curve(sides[1], sides[0]);
  }

 private:
  size_t at(int64_t k, int64_t s) const { return static_cast<size_t>(k * m_.samples + s); }

  template <class Visit>
  void each(Visit visit) {
    for (int64_t k = 0; k < m_.shadows; ++k)
      for (int64_t s = 0; s < m_.samples; ++s)
        visit(all_[static_cast<size_t>(s)].of[m_.forgotten[at(k, s)]], m_.margins[at(k, s)]);
  }

  // From the fit by all n shadows of a class to that without those r of them that are left out:
  //   mean' = mean - sum d / (n - r),   squares' = squares - sum d^2 - (sum d)^2 / (n - r)
  // d = margin - mean. Every pair has one shadow in each class.
  Fit fit_without(int64_t pair, int64_t other, int64_t s) const {
    Fit fit = all_[static_cast<size_t>(s)];
    double sum[2] = {}, squares[2] = {}, left = static_cast<double>(pairs());
    for (const int64_t out : {pair, other}) {
      if (out == kNone) continue;
      --left;
      for (int64_t k = 2 * out; k < 2 * out + 2; ++k) {
        const int c = m_.forgotten[at(k, s)];
        const double d = m_.margins[at(k, s)] - fit.of[c].mean;
        sum[c] += d, squares[c] += d * d;
      }
    }
    for (int c = 0; c < 2; ++c) {
      fit.of[c].squares -= squares[c] + sum[c] * sum[c] / left;
      fit.of[c].mean -= sum[c] / left;
    }
    return fit;
  }

  std::vector<Fit> fits_without(int64_t pair, int64_t other) const {
    std::vector<Fit> fits;
    double squares[2] = {};
    for (int64_t s = 0; s < m_.samples; ++s) {
      fits.push_back(fit_without(pair, other, s));
      for (int c = 0; c < 2; ++c) squares[c] += fits.back().of[c].squares;
    }
    const bool own = m_.shadows >= kOwnVariance;
    const auto degrees = static_cast<double>(pairs() - (other == kNone ? 2 : 3));
    for (Fit& fit : fits)
      for (int c = 0; c < 2; ++c) {
        const double variance =
            (own ? fit.of[c].squares : squares[c] / static_cast<double>(m_.samples)) / degrees;
        fit.of[c].variance = std::max(variance, kLeastVariance);
      }
    return fits;
  }

  const ShadowMargins& m_;
  std::vector<Fit> all_;  // by every shadow
};

struct Numbers {
  double auc, tpr, accuracy;
};
Numbers numbers_of(const Roc& roc) {
  return {roc.auc(), roc.tpr_at(0.01), roc.accuracy_at(0)};
}

Interval interval(double Numbers::*of, const Numbers& value, const std::vector<Numbers>& without) {
  std::vector<double> values;
  for (const Numbers& n : without) values.push_back(n.*of);
  const auto pairs = static_cast<double>(values.size());
  const double error = spread_of(values).sd * (pairs - 1) / std::sqrt(pairs);
  const double half = student_quantile(0.975, pairs - 1) * error;
  return {value.*of, std::max(0.0, value.*of - half), std::min(1.0, value.*of + half)};
}

}  // namespace

std::vector<double> ulira_scores(const ShadowMargins& shadows) {
  return Attack(shadows).scores(kNone);
}

Ulira ulira(const ShadowMargins& shadows) {
  const Attack attack(shadows);
  const Numbers value = numbers_of(attack.roc(kNone));
  std::vector<Numbers> without(static_cast<size_t>(attack.pairs()));
  parallel_for(attack.pairs(), [&](int64_t pair) {
    without[static_cast<size_t>(pair)] = numbers_of(attack.roc(pair));
  });
  return {.auc = interval(&Numbers::auc, value, without),
          .tpr_at_1_percent = interval(&Numbers::tpr, value, without),
          .accuracy = interval(&Numbers::accuracy, value, without)};
}

}  // namespace expunge::eval
