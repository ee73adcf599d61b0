#include "nn/fit.h"

#include <algorithm>
#include <cmath>

#include "nn/ops.h"

namespace expunge::nn {

int64_t total_steps(const FitConfig& config, const BatchSource& source) {
  int64_t total = 0;
  for (int epoch = 0; epoch < config.epochs; ++epoch) total += source.batches_in(epoch);
  return config.max_steps > 0 ? std::min(total, config.max_steps) : total;
}

FitEnd fit(const FitConfig& config, BatchSource& source, Step& step, EpochHook& hook,
           FitPosition at) {
  const int64_t total = total_steps(config, source);
  StepScalars scalars{.seed = config.seed};
  Batch batch;
  while (at.step < total) {
    if (at.batch == source.batches_in(at.epoch)) at = {.epoch = at.epoch + 1, .step = at.step};
    source.start(at.epoch, at.batch);
    while (at.step < total && source.next(batch)) {
      scalars.step = at.step;
      scalars.epoch = at.epoch;
      scalars.lr = static_cast<float>(
          config.lr * config.schedule.factor({at.step, at.epoch, source.batches(), total}));
      const StepResult result = step.run(batch, scalars);
      ++at.step, ++at.batch;
      at.loss_sum += result.loss * static_cast<double>(result.samples);
      at.samples += result.samples, at.correct += result.correct;
      const Continue go_on = hook.after_step(at, result, scalars);
      if (!std::isfinite(result.loss))
        fail(ExitCode::numerical,
             "the loss became {} at step {} (epoch {}, lr {:.3g}); a smaller --lr may help",
             result.loss, at.step, at.epoch + 1, scalars.lr);
      if (go_on == Continue::no) return FitEnd::stopped;
    }
    if (hook.after_epoch(at) == Continue::no && at.step < total) return FitEnd::stopped;
  }
  return FitEnd::finished;
}

SupervisedStep::SupervisedStep(Model& model, Optimizer& optimizer, SupervisedConfig config)
    : model_(model), optimizer_(optimizer), config_(config), grads_(model.params.make_buffer()) {}

namespace {

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  const int64_t N = logits.dim(0), C = logits.dim(1);
  int64_t correct = 0;
  for (int64_t i = 0; i < N; ++i) {
    const float* row = logits.data() + i * C;
    correct += std::max_element(row, row + C) - row == labels.as<int32_t>()[i];
  }
  return correct;
}

}  // namespace

StepResult SupervisedStep::run(const Batch& batch, const StepScalars& scalars) {
  tape_.reset();
  tape_.bind(model_.params, {grads_, 0.0f});
  const Ctx ctx{.stream = model_.params.values().stream(),
                .params = &model_.params,
                .tape = &tape_,
                .mode = Mode::train,
                .batch_norm = BatchNormMode::train,
                .scalars = &scalars};
  StepResult result{.samples = batch.size()};
  Var loss;
  {
    const Var output = model_.network->forward(ctx, {batch.x, Var::kNone});
    loss = batch.targets ? mse(ctx, output, batch.targets)
                         : cross_entropy(ctx, output, batch.labels, config_.label_smoothing);
    if (batch.labels) result.correct = count_correct(output.value.to({}), batch.labels);
  }
  result.loss = double{value_of(loss.value)};
  if (!std::isfinite(result.loss)) return result;  // the weights stay those of the last good step
  tape_.backward(loss);
  result.grad_norm = optimizer_.step(model_.params, grads_, scalars);
  return result;
}

}  // namespace expunge::nn
