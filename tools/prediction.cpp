#include "tools/prediction.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "core/memory.h"
#include "nn/ops.h"
#include "tools/progress.h"
#include "tools/run_verb.h"

namespace expunge::tools {
namespace {

Tensor zero_images(const nn::Model& model, int64_t n) {
  const nn::InputSpec& s = model.spec;
  return Tensor::zeros({n, s.height, s.width, s.channels}, DType::f32,
                       model.params.values().stream());
}

// The measured growth of the pool over one recorded forward pass of two samples, per sample.
int64_t activation_bytes(const nn::Model& model) {
  Tape tape;
  const Tensor grads = model.params.make_buffer();
  ParamStore scratch = model.params.clone();  // batch norm writes its running statistics
  tape.bind(scratch, {grads, 0.0f});
  const StepScalars scalars;
  const Stream stream = scratch.values().stream();
  const Ctx ctx{.stream = stream,
                .params = &scratch,
                .tape = &tape,
                .mode = Mode::train,
                .batch_norm = BatchNormMode::frozen,
                .scalars = &scalars};
  const int64_t before = pool_stats(stream.device).bytes_in_use;
  const Var logits = model.network->forward(ctx, {zero_images(model, 2), Var::kNone});
  return (pool_stats(stream.device).bytes_in_use - before) / 2;
}

// Seconds of one training step on zeros, the second of two.
double step_seconds(Experiment& e, const nn::OptimConfig& optim, int64_t batch_size) {
  nn::Optimizer optimizer(e.model.params, optim);
  nn::SupervisedStep step(e.model, optimizer);
  Batch batch;
  batch.x = zero_images(e.model, batch_size);
  batch.labels = Tensor::zeros({batch_size}, DType::i32);
  double seconds = 0;
  for (int i = 0; i < 2; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    step.run(batch, {.step = i});
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return seconds;
}

double mebibytes(double bytes) {
  return bytes / (1 << 20);
}

}  // namespace

std::string words_of(const Prediction& p, Experiment& e, const nn::OptimConfig& optim) {
  const double memory =
      static_cast<double>(e.model.params.values().size() * 4 * p.buffers +
                          std::ssize(e.data.pixels) + activation_bytes(e.model) * p.batch_size);
  const int64_t probe = std::min<int64_t>(p.batch_size, 32);
  const double seconds = step_seconds(e, optim, probe) * static_cast<double>(p.batch_size) /
                         static_cast<double>(probe);
  return fmt::format(
      "model               {}: {} parameters, {:.1f} M multiply-adds a sample\n"
      "steps               {}\n"
      "memory              {:.0f} MiB (data, {} parameter buffers, measured activations)\n"
      "disk                {:.0f} MiB\n"
      "time                {} (a step measured on {} zero images)\n",
      e.model.name, e.model.parameter_count(), static_cast<double>(e.model.macs()) / 1e6, p.steps,
      mebibytes(memory), p.buffers,
      mebibytes(static_cast<double>(disk_bytes(e.model, p.buffers - 2))),
      duration_text(seconds * static_cast<double>(p.steps * p.step_passes)), probe);
}

}  // namespace expunge::tools
