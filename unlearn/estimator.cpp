#include "unlearn/estimator.h"

#include <charconv>
#include <cmath>

#include "core/check.h"

namespace expunge::unlearn {
namespace {

using kernels::Estimator;

[[noreturn]] void refuse(const std::string& text) {
  fail(
      ExitCode::usage,
      "estimator '{}': expected paper, welford:K (K from 2 to 1000) or ema:RHO (0.8 to 0.999), and "
      "for these ,cdf=student or ,cdf=normal",
      text);
}

// The weights of ema after step `step`: W = sum rho^k, Q = sum rho^2k, C = sum rho^3k.
struct EmaSums {
  double S, S3;  // Q / W^2, C / W^3
  double a;      // 1 / W
};
EmaSums ema_sums(double rho, int64_t step) {
  const auto sum = [&](double r) {
    return (1 - std::pow(r, static_cast<double>(step + 1))) / (1 - r);
  };
  const double W = sum(rho);
  return {.S = sum(rho * rho) / (W * W), .S3 = sum(rho * rho * rho) / (W * W * W), .a = 1 / W};
}

}  // namespace

const std::vector<EstimatorRow>& estimators() {
  static const std::vector<EstimatorRow> table = {
      {"paper", "second moment with weight 0.9 for the newest square; normal distribution"},
      {"welford", "welford:K: mean and deviation over blocks of K batches, the last complete one"},
      {"ema", "ema:RHO: exponentially weighted mean and deviation, decay RHO"},
  };
  return table;
}

EstimatorSpec EstimatorSpec::parse(const std::string& text) {
  EstimatorSpec spec;
  std::string head = text;
  const size_t comma = text.find(',');
  std::string cdf = "student";
  if (comma != text.npos) {
    head = text.substr(0, comma);
    const std::string tail = text.substr(comma + 1);
    if (tail != "cdf=student" && tail != "cdf=normal") refuse(text);
    cdf = tail.substr(4);
  }
  const size_t colon = head.find(':');
  const std::string name = head.substr(0, colon);
  const std::string value = colon == head.npos ? "" : head.substr(colon + 1);
  const auto number = [&](auto& out) {
    if (value.empty() && colon == head.npos) return;  // the default
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc() || end != value.data() + value.size()) refuse(text);
  };
  if (name == "paper" && colon == head.npos && comma == text.npos) return spec;
  spec.student = cdf == "student";
  if (name == "welford") {
    spec.kind = Estimator::welford;
    number(spec.block);
    if (spec.block < 2 || spec.block > 1000) refuse(text);
  } else if (name == "ema") {
    spec.kind = Estimator::ema;
    number(spec.rho);
    if (!(spec.rho >= 0.8 && spec.rho <= 0.999)) refuse(text);
  } else {
    refuse(text);
  }
  return spec;
}

GradientStatistics::GradientStatistics(const EstimatorSpec& spec, const ParamStore& params)
    : spec_(spec) {
  const std::vector<std::string> names =
      spec.kind == Estimator::paper ? std::vector<std::string>{"second_moment"}
      : spec.kind == Estimator::ema ? std::vector<std::string>{"mean", "variance"}
                                    : std::vector<std::string>{"mean", "squares", "signal"};
  for (const std::string& name : names) state_.push_back({name, params.make_buffer()});
}

kernels::StatisticsRule GradientStatistics::rule(int64_t step) const {
  kernels::StatisticsRule r{.estimator = spec_.kind};
  switch (spec_.kind) {
    case Estimator::paper: {
      const double newest = step == 0 ? 1 - spec_.rho : spec_.rho;
      r.paper = {.newest = static_cast<float>(newest),
                 .kept = step == 0 ? 0.0f : static_cast<float>(1 - spec_.rho)};
      break;
    }
    case Estimator::ema: {
      const auto [S, S3, a] = ema_sums(spec_.rho, step);
      r.ema = {.a = static_cast<float>(a),
               .spread = step == 0 ? -1.0f : static_cast<float>(S / (1 - S))};
      // Satterthwaite's number for a weighted variance; below 1 only at the very start
      if (spec_.student && step > 0)
        r.degrees = static_cast<float>(std::max(1.0, (1 - S) * (1 - S) / (S - 2 * S3 + S * S)));
      break;
    }
    case Estimator::welford: {
      const int64_t K = spec_.block, place = step % K + 1;
      r.welford = {
          .inverse = static_cast<float>(1.0 / static_cast<double>(place)),
          .scale = place == K ? static_cast<float>(1.0 / static_cast<double>(K * (K - 1))) : 0.0f};
      if (spec_.student) r.degrees = static_cast<float>(K - 1);
      break;
    }
  }
  return r;
}

kernels::StatisticsState GradientStatistics::at(int64_t offset) const {
  const auto buffer = [&](size_t i) {
    return i < state_.size() ? state_[i].buffer.data() + offset : nullptr;
  };
  return {buffer(0), buffer(1), buffer(2)};
}

bool GradientStatistics::ready(int64_t step) const {
  if (spec_.kind == Estimator::welford) return step + 1 >= spec_.block;
  return spec_.kind == Estimator::paper || step > 0;
}

}  // namespace expunge::unlearn
