#include "unlearn/step.h"

#include <cmath>

#include "unlearn/pass.h"

namespace expunge::unlearn {

UnlearnStep::UnlearnStep(nn::Model& model, nn::Optimizer& optimizer, BatchSource& retain,
                         StepConfig config)
    : model_(model),
      retain_(retain),
      config_(std::move(config)),
      gradients_{.g_f = model.params.make_buffer(),
                 .g_r = model.params.make_buffer(),
                 .saliency = config_.saliency_pass ? model.params.make_buffer() : Tensor{}},
      update_(model.params, optimizer, gradients_, config_) {
  EXPUNGE_CHECK(config_.forget != nullptr || config_.retain != nullptr,
                "unlearn step: neither a forget nor a retain objective");
  EXPUNGE_CHECK((config_.forget != nullptr || config_.beta == 1) &&
                    (config_.retain != nullptr || config_.beta == 0),
                "unlearn step: beta {} with a side missing", config_.beta);
  EXPUNGE_CHECK(retain.batches() > 0, "unlearn step: the retain source has {} batches",
                retain.batches());
  const auto wants = [](const Objective* o) { return o != nullptr && o->wants_teacher; };
  if (wants(config_.forget) || wants(config_.retain)) teacher_ = model.params.clone();
  report_.parameters = model.params.parameters().size();
}

// The mean of the objective over the batch; its gradient goes to `grads`, unless the loss is not
// finite.
double UnlearnStep::differentiate(const Side& side, const Batch& batch, const StepScalars& scalars,
                                  const Tensor& grads, Tape::Ready ready) {
  tape_.reset();
  if (side.slices != nullptr) side.slices->start(batch.size());
  tape_.bind(model_.params, {grads, 0.0f}, side.slices);
  return loss_of(
      {*model_.network, model_.params, *side.objective, side.batch_norm, &teacher_, Mode::train},
      batch, scalars, &tape_, ready);
}

const Batch& UnlearnStep::next_retain(const StepScalars& scalars) {
  const int64_t n = retain_.batches();
  const auto [epoch, index] = place_of(scalars, config_.batches_per_epoch, n);
  if (epoch != retain_epoch_ || index != retain_next_) retain_.start(epoch, index);
  const bool got = retain_.next(retain_batch_);
  EXPUNGE_CHECK(got, "unlearn step: the retain source ended at batch {} of {}", index, n);
  retain_epoch_ = epoch, retain_next_ = index + 1;
  return retain_batch_;
}

nn::StepResult UnlearnStep::run(const Batch& forget, const StepScalars& given) {
  static const Objective &descent = objective("ce"), &ascent = objective("ascent");
  const GateUses& uses = config_.gate.row->uses;
  const BatchNormMode probe =
      config_.batch_norm == BatchNormMode::eval ? BatchNormMode::eval : BatchNormMode::frozen;
  StepScalars scalars = given;
  nn::StepResult result{.samples = forget.size()};
  const auto failed = [&](double loss) { return result.loss = loss, !std::isfinite(loss); };
  report_.kept = -1;

  if (config_.saliency_pass) {
    scalars.pass = 2;
    if (failed(differentiate({&ascent, probe, nullptr}, forget, scalars, gradients_.saliency)))
      return result;
  }
  scalars.pass = 0;
  if (config_.forget != nullptr || uses.forget) {
    SliceStatistics* slices = update_.forget_slices();
    const Side side = config_.forget != nullptr ? Side{config_.forget, config_.batch_norm, slices}
                                                : Side{&ascent, probe, slices};
    report_.forget_loss = differentiate(side, forget, scalars, gradients_.g_f);
    if (failed(report_.forget_loss)) return result;
  }
  scalars.pass = 1;
  const bool element = config_.gate.row->scope == Scope::element;
  const auto update_one = [&](int parameter) { update_.parameter(parameter, scalars); };
  const bool has_retain = config_.retain != nullptr || uses.retain;
  const bool inside = element && config_.in_backward && has_retain;
  if (has_retain) {
    SliceStatistics* slices = update_.retain_slices();
    const Side side = config_.retain != nullptr ? Side{config_.retain, config_.batch_norm, slices}
                                                : Side{&descent, probe, slices};
    report_.retain_loss =
        inside ? differentiate(side, next_retain(scalars), scalars, gradients_.g_r, update_one)
               : differentiate(side, next_retain(scalars), scalars, gradients_.g_r);
    if (failed(report_.retain_loss)) return result;
  }
  if (!inside) report_.kept = update_.all(scalars);
  result.loss = config_.retain != nullptr ? report_.retain_loss : report_.forget_loss;
  return result;
}

int UnlearnStep::passes() const {
  const GateUses& uses = config_.gate.row->uses;
  return (config_.saliency_pass ? 1 : 0) + (config_.forget != nullptr || uses.forget ? 1 : 0) +
         (config_.retain != nullptr || uses.retain ? 1 : 0);
}

}  // namespace expunge::unlearn
