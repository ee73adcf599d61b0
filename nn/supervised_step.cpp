#include "nn/supervised_step.h"

#include <cmath>

#include "kernels/loss.h"
#include "kernels/reduce.h"
#include "nn/ops.h"

namespace expunge::nn {
namespace {

// In what a step finds: the losses that the optimizer looks at, then
constexpr int64_t kRight = kernels::kOptimLosses, kNorm = kRight + 1, kFound = kNorm + 1;

// right[0] = how many rows have their largest number where the label is
void count_right(Stream stream, const Tensor& logits, const Tensor& labels, const Tensor& right) {
  const int64_t N = logits.dim(0);
  const Tensor hits(Shape{N}, DType::f32, stream);
  kernels::top1(stream, N, logits.dim(1), logits.data(), labels.as<int32_t>(), hits.data());
  kernels::sum_to(stream, kernels::Term::value, N, hits.data(), 1.0, right.data());
}

}  // namespace

SupervisedStep::SupervisedStep(Model& model, Optimizer& optimizer, SupervisedConfig config)
    : model_(model),
      optimizer_(optimizer),
      config_(config),
      grads_(model.params.make_buffer()),
      found_(Tensor::zeros(Shape{kFound}, DType::f32, grads_.stream())),
      late_(grads_.stream(), found_.size(), kMostAhead),
      scale_(optimizer.loss_scale()) {
  const Stream stream = grads_.stream();
  tape_.set_overlap(config.overlap);
  if (stream.device == Device::cpu) return;
  scalars_ = Tensor(Shape{static_cast<int64_t>(sizeof(StepScalars))}, DType::u8, stream);
}

// On a GPU what changes is sent to where the step before had it; nothing waits for that.
void SupervisedStep::prepare(const Batch& batch, const StepScalars& scalars) {
  const Stream stream = model_.params.values().stream();
  if (stream.device == Device::cpu) {
    labels_ = batch.labels;
    return;
  }
  const Tensor scalars_here(scalars_.shape(), DType::u8);
  *static_cast<StepScalars*>(scalars_here.bytes()) = scalars;
  scalars_.copy_from(scalars_here);
  if (!batch.labels) return;
  if (!labels_ || labels_.size() < batch.size()) {
    recorder_.forget();
    labels_ = Tensor(Shape{batch.size()}, DType::i32, stream);
  }
  check_labels(batch.labels, model_.spec.classes);
  labels_.slice(0, {batch.size()}).copy_from(batch.labels);
}

// Loss, right answers, gradient: all that happens before the optimizer.
void SupervisedStep::differentiate(const Batch& batch, const StepScalars& scalars) {
  tape_.reset();
  tape_.bind(model_.params, {grads_, 0.0f});
  const Ctx ctx{.stream = model_.params.values().stream(),
                .params = &model_.params,
                .params16 = params16(model_.params),
                .tape = &tape_,
                .mode = Mode::train,
                .batch_norm = BatchNormMode::train,
                .scalars = &scalars,
                .scalars_there = static_cast<const StepScalars*>(scalars_.bytes())};
  const Tensor losses = found_.slice(0, {kernels::kOptimLosses}), right = found_.slice(kRight, {1});
  Var loss;
  {
    const Var output = model_.network->forward(ctx, {batch.x, Var::kNone});
    const Tensor labels = labels_ ? labels_.slice(0, {batch.size()}) : Tensor();
    loss = batch.targets ? mse(ctx, output, batch.targets)
                         : cross_entropy(ctx, output, labels, config_.label_smoothing);
    if (batch.labels)
      count_right(ctx.stream, output.value, labels, right);
    else
      right.zero();
  }
  note_loss(loss.value, losses.slice(0, {1}));
  tape_.backward(loss, scale_.seed());
  scale_.finish({&grads_, 1}, {}, losses);
}

bool SupervisedStep::may_be_recorded(const Batch& batch) const {
  return config_.record && batch.x.stream().device == Device::cuda && !batch.targets;
}

size_t SupervisedStep::most_ahead() const {
  static_assert(int64_t{kMostAhead} <= kernels::kVersions);
  return found_.stream().device == Device::cuda ? kMostAhead : 0;
}

void SupervisedStep::queue(const Batch& batch, const StepScalars& scalars) {
  prepare(batch, scalars);
  optimizer_.prepare(scalars, std::ssize(queued_));
  const auto all_of_it = [&] {
    batch.make();
    differentiate(batch, scalars);
    optimizer_.apply(model_.params, grads_, found_.data(), found_.data() + kNorm);
  };
  if (may_be_recorded(batch))
    recorder_.run(batch.x.stream(), {StepRecorder::place_of(batch)}, all_of_it);
  else
    all_of_it();
  late_.send(found_);
  queued_.push_back({.samples = batch.size()});
}

void SupervisedStep::start() {
  if (!queued_.empty()) scale_.lose_count();
  queued_.clear();
  late_.drop();
  found_.zero();
}

StepResult SupervisedStep::next_result() {
  const std::span<const float> found = late_.take();
  StepResult result = queued_.front();
  queued_.pop_front();
  result.loss = double{found[0]};
  result.skipped = std::isfinite(result.loss) && scale_.skipped(found[1]);
  result.correct = static_cast<int64_t>(found[kRight]);
  result.grad_norm = double{found[kNorm]};
  return result;
}

// Whatever the loss of the step before was.
StepResult SupervisedStep::run(const Batch& batch, const StepScalars& scalars) {
  start();
  queue(batch, scalars);
  return next_result();
}

}  // namespace expunge::nn
