#include <fmt/core.h>

#include "tools/calibration.h"
#include "tools/svg.h"

namespace expunge::tools {
namespace {

struct Experiment {
  const char* name;
  const Bins Calibration::*bins;
};
constexpr Experiment kExperiments[] = {{"pit", &Calibration::pit},
                                       {"wide", &Calibration::wide},
                                       {"one-noise", &Calibration::one_noise},
                                       {"narrow", &Calibration::narrow},
                                       {"narrow-shrunk", &Calibration::shrunk}};

const Axis kPhi{"phi", 0, 1, 5}, kCameTrue{"share of pairs that agree", 0, 1, 5};

// Mean phi of the bins with enough pairs for a dot.
Plot::Points dots(const Bins& bins) {
  constexpr int64_t kEnough = 20;
  Plot::Points points;
  for (const Bin& b : bins)
    if (b.count >= kEnough) points.push_back({b.expected, b.seen});
  return points;
}

void add_band(Plot& plot, const Bins& bins) {
  Plot::Points low, high;
  for (const Bin& b : bins) {
    if (b.count == 0) continue;
    low.push_back({b.expected, b.band.low});
    high.push_back({b.expected, b.band.high});
  }
  plot.band(low, high, kGrey);
}

}  // namespace

std::string calibration_table(const std::vector<Calibration>& all) {
  std::string text =
      fmt::format("{:<14} {:>4}  {:>8} {:>8}  {:>8} {:>9}  {:>16} {:>8} {:>8}\n", "estimator", "nu",
                  "PIT p", "PIT", "wide law", "one noise", "narrow: phi true", "error", "shrunk");
  for (const Calibration& c : all)
    text += fmt::format(
        "{:<14} {:>4.1f}  {:>8.4f} {:>8.4f}  {:>8.4f} {:>9.4f}  {:>10.3f} {:>5.3f} {:>8.4f} "
        "{:>8.4f}\n",
        c.estimator, c.degrees, c.pit_p_value, excess(c.pit), calibration_error(c.wide),
        calibration_error(c.one_noise), c.near.expected, c.near.seen, calibration_error(c.narrow),
        calibration_error(c.shrunk));
  return text + "\n";
}

std::string calibration_csv(const std::vector<Calibration>& all) {
  std::string text = "experiment,estimator,low,high,count,expected,seen,band_low,band_high\n";
  for (const Experiment& e : kExperiments)
    for (const Calibration& c : all)
      for (const Bin& b : c.*e.bins)
        text +=
            fmt::format("{},{},{:.3f},{:.3f},{},{:.5f},{:.5f},{:.5f},{:.5f}\n", e.name, c.estimator,
                        b.low, b.high, b.count, b.expected, b.seen, b.band.low, b.band.high);
  return text;
}

std::string pit_svg(const std::vector<Calibration>& all) {
  std::vector<Plot> plots;
  for (const Calibration& c : all) {
    Plot plot(fmt::format("{}, {:.3g} degrees of freedom", c.estimator, c.degrees),
              {"u = T((m - true mean) / SE)", 0, 1, 5},
              {"share of the bin / expected", 0.8, 1.2, 4});
    std::vector<Plot::Bar> bars;
    Plot::Points low, high;
    for (const Bin& b : c.pit) {
      bars.push_back({b.low, b.high, b.seen / b.expected});
      for (double x : {b.low, b.high}) {
        low.push_back({x, b.band.low / b.expected});
        high.push_back({x, b.band.high / b.expected});
      }
    }
    plot.band(low, high, kGrey).bars(bars, 1, kBlue).line({{0, 1}, {1, 1}}, "#444", true);
    plots.push_back(plot.note(fmt::format("Kolmogorov-Smirnov p = {:.3f}", c.pit_p_value), "#333"));
  }
  return svg_figure("Is the standard error right? Uniform if it is", plots, 2);
}

std::string agreement_svg(const std::vector<Calibration>& all) {
  std::vector<Plot> plots;
  for (const Calibration& c : all) {
    Plot plot(c.estimator, kPhi, kCameTrue);
    add_band(plot, c.wide);
    plot.line({{0, 0}, {1, 1}}, kGrey, true)
        .dots(dots(c.one_noise), kGreen)
        .dots(dots(c.wide), kBlue)
        .note("noise levels drawn too", kBlue)
        .note("one noise level", kGreen);
    plots.push_back(std::move(plot));
  }
  return svg_figure("True means from a wide flat law: phi comes true", plots, 2);
}

std::string narrow_svg(const std::vector<Calibration>& all) {
  std::vector<Plot> plots;
  for (const Calibration& c : all) {
    Plot plot(c.estimator, kPhi, kCameTrue);
    plot.line({{0, 0}, {1, 1}}, kGrey, true)
        .line(dots(c.narrow), kOrange)
        .dots(dots(c.narrow), kOrange)
        .line(dots(c.shrunk), kBlue)
        .dots(dots(c.shrunk), kBlue)
        .note("shrink=off", kOrange)
        .note("shrink=on", kBlue);
    plots.push_back(std::move(plot));
  }
  return svg_figure("True means half as large as their standard error", plots, 2);
}

}  // namespace expunge::tools
