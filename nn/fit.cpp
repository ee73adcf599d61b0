#include "nn/fit.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "core/check.h"
#include "kernels/elementwise.h"

namespace expunge::nn {

int64_t total_steps(const FitConfig& config, const BatchSource& source) {
  int64_t total = 0;
  for (int epoch = 0; epoch < config.epochs; ++epoch) total += source.batches_in(epoch);
  return config.max_steps > 0 ? std::min(total, config.max_steps) : total;
}

void Step::queue(const Batch&, const StepScalars&) {
  fail(ExitCode::internal, "a step that is not queued is asked to be");
}

StepResult Step::next_result() {
  fail(ExitCode::internal, "a step that is not queued is asked for its result");
}

void note_loss(const Tensor& loss, const Tensor& noted) {
  kernels::axpby(loss.stream(), 1, 0.0f, noted.data(), 1.0f, loss.data());  // 0 NaN = NaN
  noted.copy_from(loss.reshape({1}));
}

namespace {

// Where a run stands: steps whose results are known, and others that are on their way.
class Progression {
 public:
  Progression(Step& step, EpochHook& hook, FitPosition& known)
      : step_(step), hook_(hook), known_(known) {}

  int64_t begun() const { return known_.step + static_cast<int64_t>(queued_.size()); }

  Continue take(const Batch& batch, const StepScalars& scalars) {
    const size_t most = step_.most_ahead();
    if (most == 0) {
      const StepResult result = step_.run(batch, scalars);
      hook_.looks_after(scalars.step + 1);
      return note(result, scalars);
    }
    step_.queue(batch, scalars);
    queued_.push_back(scalars);
    if (hook_.looks_after(scalars.step + 1)) return catch_up();
    if (queued_.size() == most) next_result();
    return Continue::yes;
  }

  // Until all is known; what the hook says of the last step.
  Continue catch_up() {
    Continue last = Continue::yes;
    while (!queued_.empty()) last = next_result();
    return last;
  }

 private:
  Continue next_result() {
    const StepScalars scalars = queued_.front();
    queued_.pop_front();
    return note(step_.next_result(), scalars);
  }

  Continue note(const StepResult& result, const StepScalars& scalars) {
    ++known_.step, ++known_.batch;
    known_.loss_sum += result.loss * static_cast<double>(result.samples);
    known_.samples += result.samples, known_.correct += result.correct;
    const Continue go_on = hook_.after_step(known_, result, scalars);
    if (!std::isfinite(result.loss))
      fail(ExitCode::numerical,
           "the loss became {} at step {} (epoch {}, lr {:.3g}); a smaller --lr may help",
           result.loss, known_.step, known_.epoch + 1, scalars.lr);
    return go_on;
  }

  Step& step_;
  EpochHook& hook_;
  FitPosition& known_;
  std::deque<StepScalars> queued_;
};

}  // namespace

FitEnd fit(const FitConfig& config, BatchSource& source, Step& step, EpochHook& hook,
           FitPosition at) {
  const int64_t total = total_steps(config, source);
  StepScalars scalars{.seed = config.seed};
  Batch batch;
  const auto next = [&] {
    return step.makes_images() ? source.next_unmade(batch) : source.next(batch);
  };
  Progression steps(step, hook, at);
  step.start();
  while (at.step < total) {
    if (at.batch == source.batches_in(at.epoch)) at = {.epoch = at.epoch + 1, .step = at.step};
    source.start(at.epoch, at.batch);
    while (steps.begun() < total && next()) {
      scalars.step = steps.begun();
      scalars.epoch = at.epoch;
      scalars.lr = static_cast<float>(
          config.lr * config.schedule.factor({scalars.step, at.epoch, source.batches(), total}));
      if (steps.take(batch, scalars) == Continue::no) return FitEnd::stopped;
    }
    steps.catch_up();
    if (hook.after_epoch(at) == Continue::no && at.step < total) return FitEnd::stopped;
  }
  return FitEnd::finished;
}

}  // namespace expunge::nn
