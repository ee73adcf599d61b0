#include "unlearn/estimator.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "kernels/moments.h"

namespace expunge::unlearn {
namespace {

using kernels::Estimator;

[[noreturn]] void refuse(const std::string& text) {
  fail(ExitCode::usage,
       "estimator '{}': expected paper, or one of welford:K (K from 2 to 1000), ema:RHO (0.8 to "
       "0.999), microbatch:K (K from 2 to 1000) and persample, these with ,cdf=student or "
       ",cdf=normal and ,shrink=on or ,shrink=off",
       text);
}

// The keys behind the first comma, each at most once.
void take_options(const std::string& text, EstimatorSpec& spec) {
  bool cdf = false, shrink = false;
  for (size_t comma = text.find(','); comma != text.npos;) {
    const size_t next = text.find(',', comma + 1);
    const std::string option = text.substr(comma + 1, next - comma - 1);
    comma = next;
    bool& seen = option.starts_with("cdf=") ? cdf : shrink;
    if (std::exchange(seen, true)) refuse(text);
    if (option == "cdf=student" || option == "cdf=normal")
      spec.student = option == "cdf=student";
    else if (option == "shrink=on" || option == "shrink=off")
      spec.shrink = option == "shrink=on";
    else
      refuse(text);
  }
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
      {"microbatch", "microbatch:K: deviation between K slices of one batch"},
      {"persample", "deviation between the images of one batch; slow in convolutions"},
  };
  return table;
}

EstimatorSpec EstimatorSpec::parse(const std::string& text) {
  const std::string head = text.substr(0, text.find(','));
  const size_t colon = head.find(':');
  const std::string name = head.substr(0, colon);
  EstimatorSpec spec;
  if (text == "paper") return spec;
  const auto number = [&](auto& out) {
    if (colon == head.npos) return;  // the default
    const char *begin = head.data() + colon + 1, *end = head.data() + head.size();
    const auto [stop, error] = std::from_chars(begin, end, out);
    if (error != std::errc() || stop != end) refuse(text);
  };
  if (name == "welford") {
    spec.kind = Estimator::welford;
    number(spec.block);
    if (spec.block < 2 || spec.block > 1000) refuse(text);
  } else if (name == "ema") {
    spec.kind = Estimator::ema;
    number(spec.rho);
    if (!(spec.rho >= 0.8 && spec.rho <= 0.999)) refuse(text);
  } else if (name == "microbatch") {
    spec.kind = Estimator::moments;
    number(spec.slices);
    if (spec.slices < 2 || spec.slices > 1000) refuse(text);
  } else if (head == "persample") {
    spec.kind = Estimator::moments;
    spec.slices = 0;
  } else {
    refuse(text);
  }
  spec.student = true;
  take_options(text, spec);
  return spec;
}

GradientStatistics::GradientStatistics(const EstimatorSpec& spec, const ParamStore& params)
    : spec_(spec), table_(params.parameters()) {
  std::vector<const char*> names;
  switch (spec.kind) {
    case Estimator::paper:
      names = {"second_moment"};
      break;
    case Estimator::ema:
      names = {"mean", "variance"};
      break;
    case Estimator::welford:
      names = {"mean", "squares"};
      if (!spec.shrink) names.push_back("signal");
      break;
    case Estimator::moments:
      slices_.emplace(spec.slices, params);
      squared_error_ = slices_->squared_error();
      break;
  }
  for (const char* name : names) state_.push_back({name, params.make_buffer()});
  if (!spec.shrink) return;
  prior_ = Tensor::zeros({table_.count()}, DType::f32, params.values().stream());
  if (!squared_error_) squared_error_ = params.make_buffer();
  if (spec.kind == Estimator::ema) mean_ = state_[0].buffer;
  if (spec.kind == Estimator::welford) {  // of the last complete block
    mean_ = params.make_buffer();
    state_.push_back({"block_mean", mean_});
    state_.push_back({"block_error", squared_error_});
  }
}

kernels::StatisticsRule GradientStatistics::running_rule(int64_t step) const {
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
    case Estimator::moments:
      if (spec_.student) r.degrees = static_cast<float>(slices_->degrees());
      break;
  }
  return r;
}

kernels::StatisticsState GradientStatistics::running_at(int64_t offset) const {
  const auto buffer = [&](size_t i) {
    return i < state_.size() ? state_[i].buffer.data() + offset : nullptr;
  };
  return {buffer(0), buffer(1), buffer(2)};
}

void GradientStatistics::take_in(int parameter, int64_t step, const Tensor& flat,
                                 const float* losses) {
  if (!spec_.shrink) return;
  const Range& range = table_[parameter];
  const auto at = [&](const Tensor& t) { return t.data() + range.offset; };
  if (!slices_)
    kernels::take_in(flat.stream(), range.size, running_rule(step), at(flat),
                     running_at(range.offset),
                     {.mean = at(mean_), .squared_error = at(squared_error_)}, losses);
  kernels::prior_variance(flat.stream(), range.size, at(mean_ ? mean_ : flat), at(squared_error_),
                          prior_.data() + parameter);
}

kernels::StatisticsRule GradientStatistics::rule(int parameter, int64_t step) const {
  kernels::StatisticsRule r = running_rule(step);
  if (has_moments()) r.estimator = Estimator::moments;
  if (spec_.shrink) r.moments.prior = prior_.data() + parameter;
  return r;
}

kernels::StatisticsState GradientStatistics::at(int parameter) const {
  const int64_t offset = table_[parameter].offset;
  if (!has_moments()) return running_at(offset);
  return {squared_error_.data() + offset, mean_ ? mean_.data() + offset : nullptr, nullptr};
}

bool GradientStatistics::ready(int64_t step) const {
  if (spec_.kind == Estimator::welford) return step + 1 >= spec_.block;
  return spec_.kind != Estimator::ema || step > 0;
}

}  // namespace expunge::unlearn
