#include "tools/redraws.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/parallel.h"
#include "core/rng.h"

namespace expunge::tools {
namespace {

constexpr int kFeatures = 4;
constexpr double kNoiseRange = 32;    // wide: largest noise / smallest
constexpr double kMeanRange = 16;     // wide, one_noise: means in +- this many SE of noise 1
constexpr double kMiddle = 2;         // wide: SE in [1 / 2, 2] of noise 1
constexpr double kOtherMeans = 0.15;  // size of the other coordinates' delta, in noise

// How many samples the estimator's mean is worth: SE = noise / sqrt of it.
double effective_samples(const unlearn::EstimatorSpec& spec, const RedrawConfig& config) {
  const auto B = static_cast<double>(config.batch);
  if (spec.kind == kernels::Estimator::welford) return B * spec.block;
  if (spec.kind != kernels::Estimator::ema) return B;
  double W = 0, Q = 0;
  for (int64_t t = 0; t < config.ema_steps; ++t)
    W = spec.rho * W + 1, Q = spec.rho * spec.rho * Q + 1;
  return B * W * W / Q;
}

int64_t steps_of(const unlearn::EstimatorSpec& spec, const RedrawConfig& config) {
  return spec.kind == kernels::Estimator::welford ? spec.block
         : spec.kind == kernels::Estimator::ema   ? config.ema_steps
                                                  : 1;
}

}  // namespace

// One side of all redraws: their laws, their samples and what the estimator makes of them.
class Redraws::Side {
 public:
  Side(const RedrawConfig& config, const unlearn::EstimatorSpec& spec, Law law, int side)
      : config_(config),
        side_(static_cast<uint32_t>(2 * config.key + side)),
        law_(law),
        unit_(1 / std::sqrt(effective_samples(spec, config))),
        params_(one_parameter(config.redraws)),
        gradient_(params_.make_buffer()),
        own_({config.batch, config.redraws}),
        stats_(spec, params_) {
    draw_laws();
    for (step_ = 0; step_ < steps_of(spec, config); ++step_) {
      draw_batch();
      watch_slices();
      stats_.take_in(0, step_, gradient_);
    }
    --step_;
  }

  kernels::StatisticsRule rule(bool shrink) const {
    kernels::StatisticsRule rule = stats_.rule(0, step_);
    if (!shrink) rule.moments = {};
    return rule;
  }
  kernels::StatisticsState state() const { return stats_.at(0); }
  const float* gradient() const { return gradient_.data(); }
  double mean(int64_t r) const { return delta_[static_cast<size_t>(r)][0]; }
  double error_in_units(int64_t r) const {  // (m - true mean) / SE
    const kernels::StatisticsState s = state();
    const double m = double{s.s1 == nullptr ? gradient()[r] : s.s1[r]};
    return (m - mean(r)) / std::sqrt(double{s.s0[r]});
  }
  bool counts(int64_t r) const {
    if (law_ != Law::wide) return true;
    const double error = std::sqrt(double{state().s0[r]}) / unit_;
    return error >= 1 / kMiddle && error <= kMiddle;
  }

 private:
  static ParamStore one_parameter(int64_t n) {
    ParamStore params;
    params.add_parameter({.name = "coordinate", .shape = {n}});
    params.allocate();
    return params;
  }
  rng::Draw draw(int64_t redraw, uint32_t a, uint32_t b) const {
    return rng::philox(config_.seed, rng::Purpose::test,
                       {{static_cast<uint32_t>(redraw), a, b, side_}});
  }

  void draw_laws() {
    delta_.resize(static_cast<size_t>(config_.redraws));
    noise_.assign(delta_.size(), 1);
    for (int64_t r = 0; r < config_.redraws; ++r) {
      const rng::Draw d = draw(r, 0, 0);
      const auto at = static_cast<size_t>(r);
      const double u = 2 * double{rng::uniform(d.word[0])} - 1;
      if (law_ == Law::wide)
        noise_[at] = std::pow(kNoiseRange, double{rng::uniform(d.word[1])} - 0.5);
      const rng::Draw e = draw(r, 0, 1);
      const rng::NormalPair a = rng::normal_pair(d.word[2], d.word[3]),
                            b = rng::normal_pair(e.word[0], e.word[1]);
      const double size = kOtherMeans * noise_[at];
      delta_[at] = {law_ == Law::narrow ? 0.5 * unit_ * a.value[0] : kMeanRange * unit_ * u,
                    size * a.value[1], size * b.value[0], size * b.value[1]};
    }
  }

  // own_[i][r] = g of sample i / batch, two samples of a redraw from one draw.
  void draw_batch() {
    const int64_t B = config_.batch, n = config_.redraws;
    parallel_ranges(n, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < B; i += 2)
        for (int64_t r = begin; r < end; ++r) {
          const rng::Draw d = draw(r, static_cast<uint32_t>(step_) + 1, static_cast<uint32_t>(i));
          const rng::NormalPair noise = rng::normal_pair(d.word[0], d.word[1]);
          for (int64_t k = 0; k < std::min<int64_t>(2, B - i); ++k)
            own_.data()[(i + k) * n + r] = static_cast<float>(
                sample_gradient(r, d.word[2 + k], noise.value[k]) / static_cast<double>(B));
        }
      for (int64_t r = begin; r < end; ++r) {
        double sum = 0;
        for (int64_t i = 0; i < B; ++i) sum += double{own_.data()[i * n + r]};
        gradient_.data()[r] = static_cast<float>(sum);
      }
    });
  }

  double sample_gradient(int64_t redraw, uint32_t signs, double normal) const {
    const auto at = static_cast<size_t>(redraw);
    const auto x = [signs](size_t k) { return (signs >> (31 - k) & 1) != 0 ? 1.0 : -1.0; };
    double residual = -noise_[at] * normal;
    for (size_t k = 0; k < kFeatures; ++k) residual += x(k) * delta_[at][k];
    return x(0) * residual;
  }

  // As a layer's backward pass would (Tape::add_parts).
  void watch_slices() {
    unlearn::SliceStatistics* slices = stats_.slices();
    if (slices == nullptr) return;
    const int64_t B = config_.batch, n = config_.redraws;
    const Range& range = params_.parameters()[0];
    slices->start(B);
    if (slices->wants_products())
      return slices->take_product(
          range, {.rows = B, .in = 1, .out = n, .x = nullptr, .dy = own_.data()}, gradient_);
    const int64_t k = slices->slices(B), rows = std::min(k, kSlicesTogether);
    const Tensor parts({rows, n});
    for (SliceRun run{B, k, 0, rows}; run.first < k; run.first += run.count) {
      run.count = std::min(rows, k - run.first);
      parts.zero();
      for (int64_t j = 0; j < run.count; ++j) add_images(run.images(j), parts.data() + j * n);
      slices->take(range, run, parts, gradient_);
    }
  }

  // part (redraws) += what these images contribute
  void add_images(const ImageRange& images, float* part) const {
    const int64_t n = config_.redraws;
    for (int64_t i = images.begin; i < images.end; ++i)
      for (int64_t r = 0; r < n; ++r) part[r] += own_.data()[i * n + r];
  }

  const RedrawConfig config_;
  uint32_t side_;
  Law law_;
  double unit_;  // SE where the noise is 1
  ParamStore params_;
  Tensor gradient_, own_;
  unlearn::GradientStatistics stats_;
  std::vector<std::array<double, kFeatures>> delta_;
  std::vector<double> noise_;
  int64_t step_ = 0;
};

namespace {

// Statistics that keep mean and squared error apart, as shrinkage needs them.
unlearn::EstimatorSpec spec_of(const std::string& estimator) {
  unlearn::EstimatorSpec spec = unlearn::EstimatorSpec::parse(estimator);
  if (spec.kind == kernels::Estimator::paper)
    fail(ExitCode::usage, "estimator paper: it has no standard error that could be right or wrong");
  spec.shrink = true;
  return spec;
}

}  // namespace

Redraws::Redraws(const RedrawConfig& config, const std::string& estimator, Law law)
    : forget_(std::make_unique<Side>(config, spec_of(estimator), law, 0)),
      retain_(std::make_unique<Side>(config, spec_of(estimator), law, 1)),
      redraws_(config.redraws) {}
Redraws::~Redraws() = default;

double Redraws::degrees() const {
  return double{forget_->rule(false).degrees};
}

bool Redraws::counts(int64_t r) const {
  return forget_->counts(r) && retain_->counts(r);
}

bool Redraws::agree(int64_t r) const {
  return forget_->mean(r) * retain_->mean(r) > 0;
}

std::vector<float> Redraws::phi(bool shrink) const {
  std::vector<float> phi(static_cast<size_t>(redraws_));
  const kernels::GradAlignment a{.g_f = forget_->gradient(),
                                 .g_r = retain_->gradient(),
                                 .beta = 0,
                                 .rule_f = forget_->rule(shrink),
                                 .rule_r = retain_->rule(shrink),
                                 .state_f = forget_->state(),
                                 .state_r = retain_->state(),
                                 .gate = {},
                                 .update = {},
                                 .value = nullptr,
                                 .first = nullptr,
                                 .second = nullptr};
  kernels::focus_vector({}, redraws_, a, phi.data());
  return phi;
}

std::vector<float> Redraws::pit() const {
  std::vector<float> u;
  for (const Side* side : {forget_.get(), retain_.get()}) {
    std::vector<float> z(static_cast<size_t>(redraws_)), half(z.size());
    for (int64_t r = 0; r < redraws_; ++r)
      z[static_cast<size_t>(r)] = static_cast<float>(side->error_in_units(r));
    kernels::half_cdf(side->rule(false).degrees, redraws_, z.data(), half.data());
    for (float h : half) u.push_back(0.5f + h);
  }
  return u;
}

}  // namespace expunge::tools
