#include "tools/calibration.h"

#include <algorithm>
#include <cmath>

namespace expunge::tools {
namespace {

Bins even_bins(int count) {
  Bins bins(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    bins[static_cast<size_t>(i)].low = double(i) / count;
    bins[static_cast<size_t>(i)].high = double(i + 1) / count;
  }
  return bins;
}

Bin& bin_at(Bins& bins, float value) {
  const auto count = static_cast<double>(bins.size());
  return bins[static_cast<size_t>(std::clamp(double{value} * count, 0.0, count - 1))];
}

// The sums of phi and of agreements so far, until finish() makes shares of them.
void add_pair(Bin& bin, float phi, bool agree) {
  ++bin.count;
  bin.expected += double{phi};
  bin.seen += agree ? 1 : 0;
}

void finish(Bin& bin, double risk) {
  if (bin.count == 0) return;
  bin.expected /= static_cast<double>(bin.count);
  bin.seen /= static_cast<double>(bin.count);
  bin.band = binomial_band(bin.count, bin.expected, risk);
}

Bins agreement(const CalibrationConfig& config, const Redraws& redraws, bool shrink) {
  Bins bins = even_bins(config.phi_bins);
  const std::vector<float> phi = redraws.phi(shrink);
  for (int64_t r = 0; r < redraws.size(); ++r)
    if (redraws.counts(r)) {
      const float p = phi[static_cast<size_t>(r)];
      add_pair(bin_at(bins, p), p, redraws.agree(r));
    }
  for (Bin& bin : bins)
    finish(bin, config.risk / config.phi_bins / static_cast<double>(config.estimators.size()));
  return bins;
}

Bin agreement_near(const CalibrationConfig& config, const Redraws& redraws) {
  Bin bin{config.near_low, config.near_high};
  const std::vector<float> phi = redraws.phi(false);
  for (int64_t r = 0; r < redraws.size(); ++r) {
    const float p = phi[static_cast<size_t>(r)];
    if (double{p} >= bin.low && double{p} < bin.high) add_pair(bin, p, redraws.agree(r));
  }
  finish(bin, config.risk);
  return bin;
}

Bins pit_bins(const CalibrationConfig& config, const std::vector<float>& u) {
  Bins bins = even_bins(config.pit_bins);
  for (float v : u) ++bin_at(bins, v).count;
  for (Bin& bin : bins) {
    bin.expected = bin.high - bin.low;
    bin.seen = static_cast<double>(bin.count) / static_cast<double>(u.size());
    bin.band = binomial_band(
        std::ssize(u), bin.expected,
        config.risk / config.pit_bins / static_cast<double>(config.estimators.size()));
  }
  return bins;
}

}  // namespace

double excess(const Bins& bins) {
  double worst = 0;
  for (const Bin& b : bins)
    if (b.count > 0) worst = std::max({worst, b.band.low - b.seen, b.seen - b.band.high});
  return worst;
}

double calibration_error(const Bins& bins) {
  double sum = 0, count = 0;
  for (const Bin& b : bins) {
    sum += static_cast<double>(b.count) * std::abs(b.expected - b.seen);
    count += static_cast<double>(b.count);
  }
  return count == 0 ? 0 : sum / count;
}

std::vector<Calibration> calibrate(const CalibrationConfig& config) {
  std::vector<Calibration> all;
  RedrawConfig draws = config.draws;
  for (const std::string& estimator : config.estimators) {
    Calibration c;
    c.estimator = estimator;
    {
      const Redraws redraws(draws, estimator, Law::wide);
      c.degrees = redraws.degrees();
      std::vector<float> u = redraws.pit();
      c.pit = pit_bins(config, u);
      c.pit_p_value = uniform_p_value(u);
      c.wide = agreement(config, redraws, false);
    }
    c.one_noise = agreement(config, Redraws(draws, estimator, Law::one_noise), false);
    const Redraws redraws(draws, estimator, Law::narrow);
    c.narrow = agreement(config, redraws, false);
    c.shrunk = agreement(config, redraws, true);
    c.near = agreement_near(config, redraws);
    all.push_back(std::move(c));
    ++draws.key;
  }
  return all;
}

std::vector<Verdict> verdicts(const std::vector<Calibration>& all, const CalibrationBands& bands) {
  std::vector<Verdict> out;
  for (const Calibration& c : all) {
    const double pit = c.estimator.starts_with("ema") ? bands.pit_excess_ema : bands.pit_excess;
    out.push_back({c.estimator, "PIT: bins beyond their bands by", excess(c.pit), 0, pit});
    out.push_back({c.estimator, "phi, wide law: beyond by", excess(c.wide), 0, bands.wide_excess});
    out.push_back({c.estimator, "phi, one noise level: beyond by", excess(c.one_noise), 0,
                   bands.one_noise_excess});
    out.push_back({c.estimator, fmt::format("phi {:.2f}, narrow law: true in", c.near.expected),
                   c.near.seen, bands.near_low, bands.near_high});
    out.push_back({c.estimator, "phi, narrow law, shrunk: mean error", calibration_error(c.shrunk),
                   0, bands.shrunk_error});
  }
  return out;
}

}  // namespace expunge::tools
