#include "unlearn/step.h"

#include <cmath>

#include "unlearn/pass.h"

namespace expunge::unlearn {
namespace {

Teacher teacher_of(const Objective* objective) {
  return objective != nullptr ? objective->teacher : Teacher::none;
}

}  // namespace

UnlearnStep::UnlearnStep(nn::Model& model, nn::Optimizer& optimizer, BatchSource& other,
                         StepConfig config)
    : model_(model),
      other_(other),
      config_(std::move(config)),
      teachers_(model.params, {teacher_of(config_.forget), teacher_of(config_.retain)},
                config_.teachers),
      gradients_{.g_f = model.params.make_buffer(),
                 .g_r = model.params.make_buffer(),
                 .saliency = config_.saliency_pass ? model.params.make_buffer() : Tensor{}},
      update_(model.params, optimizer, gradients_, config_) {
  EXPUNGE_CHECK(config_.forget != nullptr || config_.retain != nullptr,
                "unlearn step: neither a forget nor a retain objective");
  EXPUNGE_CHECK((config_.forget != nullptr || config_.beta == 1) &&
                    (config_.retain != nullptr || config_.beta == 0),
                "unlearn step: beta {} with a side missing", config_.beta);
  EXPUNGE_CHECK(other.batches() > 0, "unlearn step: the other side's source has {} batches",
                other.batches());
  report_.parameters = model.params.parameters().size();
}

// The mean of the objective over the batch; its gradient goes to `grads`, unless the loss is not
// finite.
double UnlearnStep::differentiate(const Side& side, const Batch& batch, const StepScalars& scalars,
                                  const Tensor& grads, Tape::Ready ready) {
  tape_.reset();
  if (side.slices != nullptr) side.slices->start(batch.size());
  tape_.bind(model_.params, {grads, 0.0f}, side.slices);
  return loss_of({.network = *model_.network,
                  .values = model_.params,
                  .objective = *side.objective,
                  .batch_norm = side.batch_norm,
                  .teachers = &teachers_,
                  .numbers = config_.numbers},
                 batch, scalars, &tape_, ready);
}

const Batch& UnlearnStep::next_other(const StepScalars& scalars) {
  const int64_t n = other_.batches();
  const auto [epoch, index] = place_of(scalars, config_.batches_per_epoch, n);
  if (epoch != other_epoch_ || index != other_next_) other_.start(epoch, index);
  const bool got = other_.next(other_batch_);
  EXPUNGE_CHECK(got, "unlearn step: the other side's source ended at batch {} of {}", index, n);
  other_epoch_ = epoch, other_next_ = index + 1;
  return other_batch_;
}

nn::StepResult UnlearnStep::run(const Batch& leading, const StepScalars& given) {
  static const Objective &descent = objective("ce"), &ascent = objective("ascent");
  const GateUses& uses = config_.gate.row->uses;
  const BatchNormMode probe =
      config_.batch_norm == BatchNormMode::eval ? BatchNormMode::eval : BatchNormMode::frozen;
  StepScalars scalars = given;
  nn::StepResult result{.samples = leading.size()};
  const bool has_forget = config_.forget != nullptr || uses.forget,
             has_retain = config_.retain != nullptr || uses.retain;
  const bool forget_leads = config_.leads == Leads::forget;
  const bool joined = forget_leads ? has_retain : has_forget || config_.saliency_pass;
  const Batch& other = joined ? next_other(scalars) : leading;
  const Batch &forget = forget_leads ? leading : other, &retain = forget_leads ? other : leading;
  const auto failed = [&](double loss) { return result.loss = loss, !std::isfinite(loss); };
  report_.kept = -1;

  if (config_.saliency_pass) {
    scalars.pass = 2;
    if (failed(differentiate({&ascent, probe, nullptr}, forget, scalars, gradients_.saliency)))
      return result;
  }
  scalars.pass = 0;
  if (has_forget) {
    SliceStatistics* slices = update_.forget_slices();
    const Side side = config_.forget != nullptr ? Side{config_.forget, config_.batch_norm, slices}
                                                : Side{&ascent, probe, slices};
    report_.forget_loss = differentiate(side, forget, scalars, gradients_.g_f);
    if (failed(report_.forget_loss)) return result;
  }
  scalars.pass = 1;
  const bool element = config_.gate.row->scope == Scope::element;
  const auto update_one = [&](int parameter) { update_.parameter(parameter, scalars); };
  const bool inside = element && config_.in_backward && has_retain;
  if (has_retain) {
    SliceStatistics* slices = update_.retain_slices();
    const Side side = config_.retain != nullptr ? Side{config_.retain, config_.batch_norm, slices}
                                                : Side{&descent, probe, slices};
    report_.retain_loss = inside ? differentiate(side, retain, scalars, gradients_.g_r, update_one)
                                 : differentiate(side, retain, scalars, gradients_.g_r);
    if (failed(report_.retain_loss)) return result;
  }
  if (!inside) report_.kept = update_.all(scalars);
  result.loss = config_.retain != nullptr ? report_.retain_loss : report_.forget_loss;
  return result;
}

int UnlearnStep::passes() const {
  const GateUses& uses = config_.gate.row->uses;
  const auto of = [](const Objective* objective, bool probed) {
    if (objective == nullptr) return probed ? 1 : 0;
    return objective->teacher == Teacher::beyond_boundary ? 2 : 1;  // it is a gradient by images
  };
  return (config_.saliency_pass ? 1 : 0) + of(config_.forget, uses.forget) +
         of(config_.retain, uses.retain);
}

}  // namespace expunge::unlearn
