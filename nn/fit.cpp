#include "nn/fit.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

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

}  // namespace expunge::nn
