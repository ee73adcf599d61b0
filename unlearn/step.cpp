#include "unlearn/step.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "nn/ops.h"

namespace expunge::unlearn {
namespace {

kernels::ElementGate element_gate(Gate gate) {
  switch (gate) {
    case Gate::none:
      return kernels::ElementGate::none;
    case Gate::conjunction:
      return kernels::ElementGate::conjunction;
    case Gate::prob:
      return kernels::ElementGate::prob;
    case Gate::focus:
      return kernels::ElementGate::focus;
    case Gate::bernoulli:
      return kernels::ElementGate::bernoulli;
    default:
      return kernels::ElementGate::given;
  }
}

bool uses_phi(Gate gate) {
  return gate == Gate::prob || gate == Gate::focus || gate == Gate::bernoulli ||
         gate == Gate::focus_opt || gate == Gate::fdr || gate == Gate::top;
}

// Whether w depends on a side's gradient, so that a missing one must be probed.
bool uses_forget(Gate gate) {
  return gate != Gate::none && gate != Gate::random && gate != Gate::saliency_global;
}
bool uses_retain(Gate gate) {
  return uses_forget(gate) && gate != Gate::saliency;
}

std::span<float> part(const Tensor& flat, const Range& range) {
  return {flat.data() + range.offset, static_cast<size_t>(range.size)};
}

// Unpadded: all ranges one after the other.
std::vector<float> gather(const RangeTable& table, const Tensor& flat) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(table.size()));
  for (const Range& range : table)
    values.insert(values.end(), part(flat, range).begin(), part(flat, range).end());
  return values;
}

void scatter(const RangeTable& table, std::span<const float> values, const Tensor& flat) {
  size_t at = 0;
  for (const Range& range : table) {
    std::ranges::copy(values.subspan(at, static_cast<size_t>(range.size)),
                      part(flat, range).data());
    at += static_cast<size_t>(range.size);
  }
}

int64_t share(double rho, size_t n) {
  return std::llround(rho * static_cast<double>(n));
}

}  // namespace

UnlearnStep::UnlearnStep(nn::Model& model, nn::Optimizer& optimizer, BatchSource& retain,
                         StepConfig config)
    : model_(model),
      optimizer_(optimizer),
      retain_(retain),
      config_(std::move(config)),
      stats_f_(config_.estimator, model.params),
      stats_r_(config_.estimator, model.params),
      g_f_(model.params.make_buffer()),
      g_r_(model.params.make_buffer()) {
  EXPUNGE_CHECK(config_.forget != nullptr || config_.retain != nullptr,
                "unlearn step: neither a forget nor a retain objective");
  EXPUNGE_CHECK((config_.forget != nullptr || config_.beta == 1) &&
                    (config_.retain != nullptr || config_.beta == 0),
                "unlearn step: beta {} with a side missing", config_.beta);
  EXPUNGE_CHECK(retain.batches() > 0, "unlearn step: the retain source has {} batches",
                retain.batches());
  const auto wants = [](const Objective* o) { return o != nullptr && o->wants_teacher; };
  if (wants(config_.forget) || wants(config_.retain)) teacher_ = model.params.clone();
  if (uses_phi(config_.gate.gate)) phi_ = model.params.make_buffer();
  if (row_of(config_.gate.gate).scope != Scope::element) weight_ = model.params.make_buffer();
  if (config_.gate.gate == Gate::saliency_global) {
    EXPUNGE_CHECK(config_.mask.size() == model.params.values().size(),
                  "unlearn step: saliency-global needs a mask of {} elements, got {}",
                  model.params.values().size(), config_.mask.size());
    weight_ = config_.mask;
  }
  if (config_.saliency_pass) saliency_ = model.params.make_buffer();
  int64_t first = 0;
  for (const Range& range : model.params.parameters()) {
    first_.push_back(first);
    first += range.size;
  }
  report_.parameters = first;
}

// The mean of the objective over the batch; its gradient goes to `grads`, unless the loss is not
// finite.
double UnlearnStep::differentiate(const Pass& pass, const Batch& batch, const StepScalars& scalars,
                                  const Tensor& grads, Tape::Ready ready) {
  tape_.reset();
  tape_.bind(model_.params, {grads, 0.0f});
  const Ctx ctx{.params = &model_.params,
                .tape = &tape_,
                .mode = Mode::train,
                .batch_norm = pass.batch_norm,
                .scalars = &scalars};
  Tensor teacher;
  if (pass.objective->wants_teacher)
    teacher = model_.network->forward({.params = &teacher_}, {batch.x, Var::kNone}).value;
  Var loss;
  {
    const Var logits = model_.network->forward(ctx, {batch.x, Var::kNone});
    loss = pass.objective->loss({ctx, logits, batch, teacher});
  }
  const double value = double{loss.value.data()[0]};
  if (std::isfinite(value)) tape_.backward(loss, 1.0f, ready);
  return value;
}

// A function of epoch and step alone, so that a run can go on anywhere.
const Batch& UnlearnStep::next_retain(const StepScalars& scalars) {
  constexpr int64_t kRound = int64_t{1}
                             << 20;  // apart from all epochs: a source shorter than an epoch
  const int64_t place = scalars.step - scalars.epoch * config_.batches_per_epoch;
  const int64_t n = retain_.batches();
  const int64_t epoch = scalars.epoch + place / n * kRound, index = place % n;
  if (epoch != retain_epoch_ || index != retain_next_)
    retain_.start(static_cast<int>(epoch), index);
  const bool got = retain_.next(retain_batch_);
  EXPUNGE_CHECK(got, "unlearn step: the retain source ended at batch {} of {}", index, n);
  retain_epoch_ = epoch, retain_next_ = index + 1;
  return retain_batch_;
}

bool UnlearnStep::warming(int64_t step) const {
  return uses_phi(config_.gate.gate) && !stats_f_.ready(step);
}

kernels::GradAlignment UnlearnStep::alignment(int parameter, const StepScalars& scalars) const {
  const Range& range = model_.params.parameters()[parameter];
  const int64_t o = range.offset;
  const auto group = std::ranges::find_if(
      optimizer_.groups(), [&](const nn::ParamGroup& g) { return o >= g.begin && o < g.end; });
  const auto& optim = optimizer_.state();
  return {.g_f = g_f_.data() + o,
          .g_r = g_r_.data() + o,
          .beta = static_cast<float>(config_.beta),
          .rule_f = stats_f_.rule(scalars.step),
          .rule_r = stats_r_.rule(scalars.step),
          .state_f = stats_f_.at(o),
          .state_r = stats_r_.at(o),
          .gate = {.gate = warming(scalars.step) ? kernels::ElementGate::none
                                                 : element_gate(config_.gate.gate),
                   .q = static_cast<float>(config_.gate.value),
                   .seed = scalars.seed,
                   .step = scalars.step,
                   .element = first_[static_cast<size_t>(parameter)]},
          .weight = weight_ ? weight_.data() + o : nullptr,
          .update = {optimizer_.rule(*group, scalars), config_.gate_on},
          .value = model_.params.values().data() + o,
          .first = optim[0].buffer.data() + o,
          .second = optim.size() > 1 ? optim[1].buffer.data() + o : nullptr};
}

// phi of a parameter; the statistics take this step's gradients in.
void UnlearnStep::focus(int parameter, const StepScalars& scalars) {
  const Range& range = model_.params.parameters()[parameter];
  kernels::focus_vector({}, range.size, alignment(parameter, scalars), phi_.data() + range.offset);
}

// Everything that happens to a parameter under an element gate.
void UnlearnStep::update(int parameter, const StepScalars& scalars) {
  if (warming(scalars.step)) {
    focus(parameter, scalars);
    if (config_.warmup == Warmup::hold) return;
  }
  kernels::grad_alignment({}, model_.params.parameters()[parameter].size,
                          alignment(parameter, scalars));
}

// w of one tensor, into weight_.
void UnlearnStep::gate_tensor(int parameter, const StepScalars& scalars) {
  const Range& range = model_.params.parameters()[parameter];
  const std::span<const float> g_f = part(g_f_, range), g_r = part(g_r_, range);
  const std::span<float> w = part(weight_, range);
  switch (config_.gate.gate) {
    case Gate::saliency:
      // the quantiles that the published code takes (method: docs/unlearning.md)
      if (saliency_)
        return kernels::gate_saliency(part(saliency_, range), config_.gate.value,
                                      kernels::Quantile::midpoint, w);
      return kernels::gate_saliency(g_f, config_.gate.value, kernels::Quantile::linear, w);
    case Gate::opt:
      return kernels::gate_opt(g_f, g_r, {}, config_.beta, w), void();
    case Gate::focus_opt:
      return kernels::gate_opt(g_f, g_r, part(phi_, range), config_.beta, w), void();
    case Gate::random: {
      std::vector<float> lot(w.size());
      for (size_t i = 0; i < lot.size(); ++i) {
        const auto element = static_cast<uint64_t>(first_[static_cast<size_t>(parameter)]) + i;
        lot[i] = rng::uniform(
            rng::philox(
                scalars.seed, rng::Purpose::mask,
                {{static_cast<uint32_t>(scalars.step), static_cast<uint32_t>(scalars.step >> 32),
                  static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32)}})
                .word[1]);
      }
      return kernels::gate_top(lot, share(config_.gate.value, lot.size()), w);
    }
    default:
      fail(ExitCode::internal, "gate {} does not look at tensors", row_of(config_.gate.gate).name);
  }
}

// w of all parameters, into weight_.
void UnlearnStep::gate_model() {
  const RangeTable& table = model_.params.parameters();
  std::vector<float> w(static_cast<size_t>(table.size()));
  if (config_.gate.gate == Gate::global_opt) {
    kernels::gate_opt(gather(table, g_f_), gather(table, g_r_), {}, config_.beta, w);
  } else {
    const std::vector<float> phi = gather(table, phi_);
    if (config_.gate.gate == Gate::fdr)
      kernels::gate_fdr(phi, config_.gate.value, w);
    else
      kernels::gate_top(phi, share(config_.gate.value, w.size()), w);
  }
  scatter(table, w, weight_);
}

// Gates over tensors and the model: first phi where it is wanted, then w, then the update.
void UnlearnStep::gate_and_update(const StepScalars& scalars) {
  const int count = model_.params.parameters().count();
  const bool ready = !warming(scalars.step);
  if (phi_)
    for (int p = 0; p < count; ++p) focus(p, scalars);
  if (!ready && config_.warmup == Warmup::hold) return;
  if (ready && row_of(config_.gate.gate).scope == Scope::model) gate_model();
  report_.kept = 0;
  for (int p = 0; p < count; ++p) {
    if (ready && row_of(config_.gate.gate).scope == Scope::tensor) gate_tensor(p, scalars);
    const Range& range = model_.params.parameters()[p];
    kernels::grad_alignment({}, range.size, alignment(p, scalars));
    report_.kept += ready
                        ? std::ranges::count_if(part(weight_, range), [](float w) { return w > 0; })
                        : range.size;
  }
}

nn::StepResult UnlearnStep::run(const Batch& forget, const StepScalars& given) {
  static const Objective &descent = objective("ce"), &ascent = objective("ascent");
  const Gate gate = config_.gate.gate;
  const BatchNormMode probe =
      config_.batch_norm == BatchNormMode::eval ? BatchNormMode::eval : BatchNormMode::frozen;
  StepScalars scalars = given;
  nn::StepResult result{.samples = forget.size()};
  const auto failed = [&](double loss) { return result.loss = loss, !std::isfinite(loss); };
  report_.kept = -1;

  if (config_.saliency_pass) {
    scalars.pass = 2;
    if (failed(differentiate({&ascent, probe}, forget, scalars, saliency_))) return result;
  }
  scalars.pass = 0;
  if (config_.forget != nullptr || uses_forget(gate)) {
    const Pass pass =
        config_.forget != nullptr ? Pass{config_.forget, config_.batch_norm} : Pass{&ascent, probe};
    report_.forget_loss = differentiate(pass, forget, scalars, g_f_);
    if (failed(report_.forget_loss)) return result;
  }
  scalars.pass = 1;
  const bool element = row_of(gate).scope == Scope::element;
  const auto update_one = [&](int parameter) { update(parameter, scalars); };
  const bool has_retain = config_.retain != nullptr || uses_retain(gate);
  const bool inside = element && config_.in_backward && has_retain;
  if (has_retain) {
    const Pass pass = config_.retain != nullptr ? Pass{config_.retain, config_.batch_norm}
                                                : Pass{&descent, probe};
    report_.retain_loss = inside
                              ? differentiate(pass, next_retain(scalars), scalars, g_r_, update_one)
                              : differentiate(pass, next_retain(scalars), scalars, g_r_);
    if (failed(report_.retain_loss)) return result;
  }
  if (!element) gate_and_update(scalars);
  if (element && !inside)
    for (int p = 0; p < model_.params.parameters().count(); ++p) update_one(p);
  result.loss = config_.retain != nullptr ? report_.retain_loss : report_.forget_loss;
  return result;
}

int UnlearnStep::passes() const {
  const Gate gate = config_.gate.gate;
  return (config_.saliency_pass ? 1 : 0) +
         (config_.forget != nullptr || uses_forget(gate) ? 1 : 0) +
         (config_.retain != nullptr || uses_retain(gate) ? 1 : 0);
}

std::vector<NamedBuffer> UnlearnStep::state() const {
  std::vector<NamedBuffer> all;
  if (config_.mask) all.push_back({"mask", config_.mask});
  if (!uses_phi(config_.gate.gate)) return all;
  for (const auto& s : stats_f_.state()) all.push_back({"forget." + s.name, s.buffer});
  for (const auto& s : stats_r_.state()) all.push_back({"retain." + s.name, s.buffer});
  return all;
}

}  // namespace expunge::unlearn
