#include "unlearn/step.h"

#include <algorithm>
#include <cmath>

#include "nn/ops.h"

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
      update_(model.params, optimizer, gradients_, config_),
      scale_(optimizer.loss_scale()),
      losses_(Tensor::zeros(Shape{kernels::kStepLosses}, DType::f32, gradients_.g_f.stream())),
      late_(losses_.stream(), losses_.size(), nn::kMostAhead),
      late_kept_(losses_.stream(), sizeof(double) / sizeof(float), nn::kMostAhead) {
  EXPUNGE_CHECK(config_.forget != nullptr || config_.retain != nullptr,
                "unlearn step: neither a forget nor a retain objective");
  EXPUNGE_CHECK((config_.forget != nullptr || config_.beta == 1) &&
                    (config_.retain != nullptr || config_.beta == 0),
                "unlearn step: beta {} with a side missing", config_.beta);
  EXPUNGE_CHECK(other.batches() > 0, "unlearn step: the other side's source has {} batches",
                other.batches());
  report_.parameters = model.params.parameters().size();
  constexpr auto kBytes = static_cast<int64_t>(kernels::kStepPasses * sizeof(StepScalars));
  scalars_ = Tensor(Shape{kBytes}, DType::u8, losses_.stream());
  tape_.set_overlap(config_.overlap);
}

const Batch& UnlearnStep::next_other(const StepScalars& scalars) {
  const int64_t n = other_.batches();
  const auto [epoch, index] = place_of(scalars, config_.batches_per_epoch, n);
  if (epoch != other_epoch_ || index != other_next_) other_.start(epoch, index);
  const bool got = other_.next_unmade(other_batch_);
  EXPUNGE_CHECK(got, "unlearn step: the other side's source ended at batch {} of {}", index, n);
  other_epoch_ = epoch, other_next_ = index + 1;
  return other_batch_;
}

std::vector<UnlearnStep::Planned> UnlearnStep::plan(const Batch& leading,
                                                    const StepScalars& scalars) {
  static const Objective &descent = objective("ce"), &ascent = objective("ascent");
  const GateUses& uses = config_.gate.row->uses;
  const BatchNormMode probe =
      config_.batch_norm == BatchNormMode::eval ? BatchNormMode::eval : BatchNormMode::frozen;
  const bool has_forget = config_.forget != nullptr || uses.forget,
             has_retain = config_.retain != nullptr || uses.retain;
  const bool forget_leads = config_.leads == Leads::forget;
  const bool joined = forget_leads ? has_retain : has_forget || config_.saliency_pass;
  const Batch& other = joined ? next_other(scalars) : leading;
  const Batch &forget = forget_leads ? leading : other, &retain = forget_leads ? other : leading;

  std::vector<Planned> passes;
  const auto add = [&](Which which, const Objective* of, const Objective& probed,
                       const Batch& batch, const Tensor& grads, SliceStatistics* slices) {
    passes.push_back({which, of != nullptr ? of : &probed,
                      of != nullptr ? config_.batch_norm : probe, &batch, grads, slices, scalars});
    passes.back().scalars.pass = which;
    if (slices != nullptr) slices->expect(batch.size());
  };
  if (config_.saliency_pass) add(kSaliency, nullptr, ascent, forget, gradients_.saliency, nullptr);
  if (has_forget)
    add(kForget, config_.forget, ascent, forget, gradients_.g_f, update_.forget_slices());
  if (has_retain)
    add(kRetain, config_.retain, descent, retain, gradients_.g_r, update_.retain_slices());
  return passes;
}

// Of the leading batch, the other one, or both.
void UnlearnStep::make_images(const std::vector<Planned>& passes) {
  const Batch &first = *passes.front().batch, &last = *passes.back().batch;
  first.make();
  if (&last != &first) last.make();
}

Pass UnlearnStep::pass_of(const Planned& planned) const {
  return {.network = *model_.network,
          .values = model_.params,
          .objective = *planned.objective,
          .batch_norm = planned.batch_norm,
          .teachers = &teachers_,
          .numbers = config_.numbers};
}

void UnlearnStep::bind(const Planned& planned) {
  tape_.reset();
  if (planned.slices != nullptr) planned.slices->start(planned.batch->size());
  tape_.bind(model_.params, {planned.grads, 0.0f}, planned.slices);
}

// An overflow that comes late in the pass must undo the whole step: in fp16 nothing is updated
// before.
bool UnlearnStep::updates_inside() const {
  return !scale_.on() && config_.gate.row->scope == Scope::element && config_.in_backward &&
         (config_.retain != nullptr || config_.gate.row->uses.retain);
}

void UnlearnStep::finish_gradients(const std::vector<Planned>& passes) const {
  std::vector<Tensor> gradients, squares;
  for (const Planned& p : passes) {
    gradients.push_back(p.grads);
    if (p.slices != nullptr) squares.push_back(p.slices->squared_error());
  }
  scale_.finish(gradients, squares, losses_);
}

UnlearnStep::Losses UnlearnStep::in_order(const std::vector<Planned>& passes,
                                          const StepScalars& scalars) {
  const auto update_one = [&](int parameter) { update_.parameter(parameter, scalars); };
  const bool inside = updates_inside();
  Losses losses{};
  make_images(passes);
  for (const Planned& p : passes) {
    bind(p);
    const Tape::Ready ready =
        inside && p.which == kRetain ? Tape::Ready(update_one) : Tape::Ready();
    losses[p.which] =
        static_cast<float>(loss_of(pass_of(p), *p.batch, p.scalars, &tape_, scale_.seed(), ready));
    if (!std::isfinite(losses[p.which])) return losses;
  }
  if (scale_.on()) {
    finish_gradients(passes);
    losses.back() = losses_.to({}).span().back();  // waits
    if (!std::isfinite(losses.back())) return losses;
  }
  if (!inside) report_.kept = update_.all(scalars);
  return losses;
}

bool UnlearnStep::may_be_queued() const {
  const auto recordable = [](const Objective* of) { return of == nullptr || of->recordable; };
  return config_.record && update_.may_come_first() && !updates_inside() &&
         recordable(config_.forget) && recordable(config_.retain);
}

void UnlearnStep::queue_together(std::span<const Planned> passes) {
  const auto* scalars_there = static_cast<const StepScalars*>(scalars_.bytes());
  std::vector<QueuedPass> queued;
  for (const Planned& p : passes)
    queued.push_back({pass_of(p), *p.batch, p.scalars, scalars_there + p.which,
                      labels_[p.which].slice(0, {p.batch->size()}), losses_.slice(p.which, {1})});
  if (passes.size() == 1) {
    bind(passes[0]);
  } else {
    tape_.reset();
    tape_.bind_joint(model_.params, {passes[0].grads, passes[0].batch->size()},
                     {passes[1].grads, passes[1].batch->size()});
  }
  queue_losses(queued, scale_.seed(), tape_);
}

// To where the passes of the step before had them; nothing waits for that.
void UnlearnStep::send_inputs(const std::vector<Planned>& passes) {
  const Tensor scalars(scalars_.shape(), DType::u8);
  scalars.zero();
  for (const Planned& p : passes) {
    static_cast<StepScalars*>(scalars.bytes())[p.which] = p.scalars;
    const int64_t n = p.batch->size();
    Tensor& there = labels_[p.which];
    if (!there || there.size() < n) {
      recorder_.forget();
      there = Tensor(Shape{n}, DType::i32, losses_.stream());
    }
    const Tensor labels = labels_for(*p.objective, *p.batch, p.scalars, model_.spec.classes);
    nn::check_labels(labels, model_.spec.classes);
    there.slice(0, {n}).copy_from(labels);
  }
  scalars_.copy_from(scalars);
}

std::optional<int64_t> UnlearnStep::queue_passes(const std::vector<Planned>& passes,
                                                 const StepScalars& scalars) {
  send_inputs(passes);
  const auto& place_of = nn::StepRecorder::place_of;
  const nn::StepRecorder::Key key{place_of(*passes.front().batch), place_of(*passes.back().batch)};
  recorder_.run(losses_.stream(), key, [&] {
    make_images(passes);
    std::span<const Planned> left = passes;
    const auto alone = [&](const Planned& p) {
      return !config_.joint || p.which == kSaliency || p.slices != nullptr;
    };
    for (; !left.empty() && alone(left[0]); left = left.subspan(1)) queue_together(left.first(1));
    if (!left.empty()) queue_together(left);
    finish_gradients(passes);
  });
  return update_.queue_all(scalars, losses_.data(), std::ssize(queued_));
}

// In fp16 where nobody needs to know which of the steps on their way overflow.
size_t UnlearnStep::most_ahead() const {
  if (!may_be_queued()) return 0;
  return !scale_.on() || update_.counts_ahead(taken_) ? nn::kMostAhead : 0;
}

void UnlearnStep::queue(const Batch& leading, const StepScalars& scalars) {
  taken_ = scale_.taken(scalars, std::ssize(queued_)).step;
  const auto kept = queue_passes(plan(leading, scalars), scalars);
  late_.send(losses_);
  if (!kept) late_kept_.send(update_.whole_gate().kept_there());
  queued_.push_back({leading.size(), kept});
}

void UnlearnStep::start() {
  if (!queued_.empty()) scale_.lose_count();
  taken_ = 0;
  queued_.clear();
  late_.drop();
  late_kept_.drop();
  losses_.zero();
}

nn::StepResult UnlearnStep::next_result() {
  Losses losses{};
  std::ranges::copy(late_.take(), losses.begin());
  const auto [samples, kept] = queued_.front();
  queued_.pop_front();
  report_.kept = kept ? *kept : WholeGate::kept_of(late_kept_.take());
  return known(losses, samples);
}

nn::StepResult UnlearnStep::run(const Batch& leading, const StepScalars& scalars) {
  if (may_be_queued()) {
    start();  // whatever the losses of the step before were
    queue(leading, scalars);
    return next_result();
  }
  report_.kept = -1;
  return known(in_order(plan(leading, scalars), scalars), leading.size());
}

nn::StepResult UnlearnStep::known(const Losses& losses, int64_t samples) {
  report_.forget_loss = double{losses[kForget]};
  report_.retain_loss = double{losses[kRetain]};
  for (const Which which : {kSaliency, kForget, kRetain})
    if (!std::isfinite(losses[which])) return {.loss = double{losses[which]}, .samples = samples};
  return {.loss = config_.retain != nullptr ? report_.retain_loss : report_.forget_loss,
          .samples = samples,
          .skipped = scale_.skipped(losses.back())};
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
