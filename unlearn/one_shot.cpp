#include "unlearn/one_shot.h"

#include <algorithm>
#include <cmath>

#include "kernels/precision.h"
#include "unlearn/parameters.h"
#include "unlearn/pass.h"

namespace expunge::unlearn {
namespace {

class Ssd final : public OneShot {
 public:
  Ssd(nn::Model& model, std::vector<Leg> legs, const SsdConfig& config)
      : OneShot(model, std::move(legs)),
        config_(config),
        squares_{LongSum(model.params), LongSum(model.params)} {}
  std::vector<NamedBuffer> state() const override {
    std::vector<NamedBuffer> buffers = squares_[0].state("ssd.forget");
    std::ranges::move(squares_[1].state("ssd.all"), std::back_inserter(buffers));
    return buffers;
  }

 private:
  double look(const Where& at, const Batch& batch) override {
    const double loss = gradient(batch);
    squares_[at.leg].add_squares(1 / static_cast<double>(at.batches), gradient_);
    return loss;
  }
  void change(uint64_t) override {
    facts_.push_back({"selected", static_cast<double>(
                                      dampen(model_.params, squares_[0], squares_[1], config_))});
  }
  const SsdConfig config_;
  LongSum squares_[2];  // of the gradients on F, on all samples
};

// I = mean over the batches of sum_y p_y (gradient of the mean of CE(y))^2, p_y the batch's mean
// probability of class y.
class Fisher final : public OneShot {
 public:
  Fisher(nn::Model& model, std::vector<Leg> legs, const FisherConfig& config)
      : OneShot(model, std::move(legs)), config_(config), information_(model.params) {}
  int passes() const override { return static_cast<int>(model_.spec.classes); }
  std::vector<NamedBuffer> state() const override { return information_.state("fisher"); }

 private:
  double look(const Where& at, const Batch& batch) override {
    const Ctx ctx{.stream = gradient_.stream(), .params = &model_.params};
    const Tensor logits = model_.network->forward(ctx, {batch.x, Var::kNone}).value;
    const std::vector<double> p = mean_probabilities(logits.to({}));
    double loss = 0;
    for (int64_t y = 0; y < model_.spec.classes; ++y) {
      Batch as_y = batch;
      as_y.labels = Tensor({batch.size()}, DType::i32);
      std::fill_n(as_y.labels.as<int32_t>(), batch.size(), static_cast<int32_t>(y));
      const double p_y = p[static_cast<size_t>(y)];
      loss += p_y * gradient(as_y);
      information_.add_squares(p_y / static_cast<double>(at.batches), gradient_);
    }
    return loss;
  }
  void change(uint64_t seed) override {
    const Tensor variance = fisher_variance(model_.params, information_, config_);
    double sum = 0;
    for (float v : variance.span()) sum += double{v};
    facts_.push_back({"noise_rms", std::sqrt(sum / static_cast<double>(model_.parameter_count()))});
    add_fisher_noise(model_.params, variance, config_, seed);
  }
  static std::vector<double> mean_probabilities(const Tensor& logits) {
    const int64_t N = logits.dim(0), C = logits.dim(1);
    std::vector<double> mean(static_cast<size_t>(C)), e(mean.size());
    for (int64_t n = 0; n < N; ++n) {
      const float* z = logits.data() + n * C;
      const double most = double{*std::max_element(z, z + C)};
      double sum = 0;
      for (size_t c = 0; c < e.size(); ++c) sum += e[c] = std::exp(double{z[c]} - most);
      for (size_t c = 0; c < e.size(); ++c) mean[c] += e[c] / sum / static_cast<double>(N);
    }
    return mean;
  }
  const FisherConfig config_;
  LongSum information_;
};

class Influence final : public OneShot {
 public:
  Influence(nn::Model& model, std::vector<Leg> legs, const InfluenceConfig& config)
      : OneShot(model, std::move(legs)),
        config_(config),
        v_(model.params),
        inverse_(model.params, config) {}
  std::vector<NamedBuffer> state() const override {
    std::vector<NamedBuffer> buffers = v_.state("influence.v");
    std::ranges::move(inverse_.state(), std::back_inserter(buffers));
    return buffers;
  }

 private:
  double look(const Where& at, const Batch& batch) override {
    const double loss = gradient(batch);
    if (!std::isfinite(loss)) return loss;
    if (at.leg < 2) {
      const auto n_f = static_cast<double>(legs_[0].source.samples()),
                 n_r = static_cast<double>(legs_[1].source.samples()), n = n_f + n_r;
      const double weight =
          static_cast<double>(batch.size()) * (at.leg == 0 ? 1 / n : -n_f / (n * n_r));
      v_.add(weight, gradient_);
      return loss;
    }
    if (at.round == 0 && at.batch == 0) inverse_.start(v_);
    inverse_.take(at.batch, at.batches, gradient_);
    if (at.batch == at.batches - 1) end_round(at.round);
    return loss;
  }
  void end_round(int64_t round) {
    inverse_.end_round();
    if (config_.optml) return;
    double squares = 0;
    const LongSumHere v = v_.here();
    for (int64_t i = 0; i < v.size(); ++i) squares += v[i] * v[i];
    facts_ = {{"round", static_cast<double>(round + 1)},
              {"residual", squares > 0 ? inverse_.residual() / std::sqrt(squares) : 0}};
  }
  void change(uint64_t) override {
    double squares = 0;
    const Tensor x = inverse_.result().to({});
    on_host(model_.params.values(), [&](const Tensor& theta) {
      for (int64_t i = 0; i < x.size(); ++i) {
        const double step = config_.alpha * double{x.data()[i]};
        theta.data()[i] = static_cast<float>(double{theta.data()[i]} + step);
        squares += step * step;
      }
    });
    facts_.push_back({"step_norm", std::sqrt(squares)});
  }
  const InfluenceConfig config_;
  LongSum v_;
  InverseHessian inverse_;
};

}  // namespace

OneShotSpec OneShotSpec::parse(const std::string& text) {
  constexpr double kMost = 1e30;
  constexpr int64_t kMostSamples = int64_t{1} << 31;
  OneShotSpec spec;
  Parameters given(text);
  switch (method(text).one_shot) {
    case OneShotKind::none:
      break;
    case OneShotKind::ssd:
      given.number("", spec.ssd.select, 0.0, kMost);
      given.number("dampen", spec.ssd.dampen, 0.0, kMost);
      break;
    case OneShotKind::fisher:
      given.number("", spec.fisher.alpha, 0.0, kMost);
      break;
    case OneShotKind::influence:
      spec.influence.optml = given.second("form", "correct", "optml");
      if (spec.influence.optml) spec.influence.alpha = 20;
      given.number("", spec.influence.alpha, -kMost, kMost);
      given.number("samples", spec.influence.samples, int64_t{1}, kMostSamples);
      if (spec.influence.optml) break;
      given.number("damping", spec.influence.damping, 1e-9, kMost);
      given.number("iterations", spec.influence.iterations, int64_t{1}, int64_t{1000});
      break;
  }
  given.finish();
  return spec;
}

int64_t LegSource::samples() const {
  int64_t n = 0;
  for (const Leg& leg : legs_) n += leg.source.samples() * leg.rounds;
  return n;
}

int64_t LegSource::batches() const {
  int64_t n = 0;
  for (const Leg& leg : legs_) n += leg.batches();
  return n;
}

void LegSource::start(int epoch, int64_t first_batch) {
  epoch_ = epoch;
  for (leg_ = 0; leg_ < legs_.size(); first_batch -= legs_[leg_++].batches()) {
    if (first_batch >= legs_[leg_].batches()) continue;
    const int64_t n = legs_[leg_].source.batches();
    round_ = first_batch / n;
    return legs_[leg_].source.start(epoch, first_batch % n);
  }
}

bool LegSource::next(Batch& batch) {
  while (leg_ < legs_.size()) {
    if (legs_[leg_].source.next(batch)) return true;
    if (++round_ == legs_[leg_].rounds) round_ = 0, ++leg_;
    if (leg_ < legs_.size()) legs_[leg_].source.start(epoch_);
  }
  return false;
}

OneShot::OneShot(nn::Model& model, std::vector<Leg> legs)
    : model_(model), legs_(std::move(legs)), gradient_(model.params.make_buffer()) {}

OneShot::Where OneShot::where(int64_t step) const {
  for (size_t leg = 0; leg < legs_.size(); ++leg) {
    const int64_t n = legs_[leg].source.batches();
    if (step < legs_[leg].batches()) return {leg, step % n, n, step / n};
    step -= legs_[leg].batches();
  }
  fail(ExitCode::internal, "one shot: {} steps beyond the last", step);
}

nn::StepResult OneShot::run(const Batch& batch, const StepScalars& scalars) {
  const kernels::WithoutLossScale exact;
  facts_.clear();
  const Where at = where(scalars.step);
  const nn::StepResult result{.loss = look(at, batch), .samples = batch.size()};
  const bool last = at.leg + 1 == legs_.size() && at.batch + 1 == at.batches &&
                    at.round + 1 == legs_[at.leg].rounds;
  if (last && std::isfinite(result.loss)) change(scalars.seed);
  return result;
}

double OneShot::gradient(const Batch& batch) {
  tape_.reset();
  tape_.bind(model_.params, {gradient_, 0.0f});
  return loss_of(
      {*model_.network, model_.params, objective("ce"), BatchNormMode::eval, nullptr, Mode::eval},
      batch, {}, &tape_);
}

std::unique_ptr<OneShot> make_one_shot(const Method& method, const OneShotSpec& spec,
                                       nn::Model& model, std::vector<Leg> legs) {
  switch (method.one_shot) {
    case OneShotKind::none:
      break;
    case OneShotKind::ssd:
      return std::make_unique<Ssd>(model, std::move(legs), spec.ssd);
    case OneShotKind::fisher:
      return std::make_unique<Fisher>(model, std::move(legs), spec.fisher);
    case OneShotKind::influence:
      return std::make_unique<Influence>(model, std::move(legs), spec.influence);
  }
  fail(ExitCode::internal, "method {} changes the weights in steps", method.name);
}

}  // namespace expunge::unlearn
