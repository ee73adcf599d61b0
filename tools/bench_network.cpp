#include "tools/bench_network.h"

#include <algorithm>
#include <cmath>

#include "kernels/precision.h"
#include "nn/ops.h"
#include "nn/supervised_step.h"

namespace expunge::tools {
namespace {

// Of the largest logit. An image alone may have other algorithms than in a batch, whose sums come
// in another order: on the CPU 1e-5. Where activations are rounded a last digit is another in each
// layer (docs/decisions/0020).
double logit_tolerance() {
  switch (kernels::precision()) {
    case kernels::Precision::fp32:
      return 1e-3;
    case kernels::Precision::bf16:
      return 5e-2;
    case kernels::Precision::tf32:
    case kernels::Precision::fp16:
      break;
  }
  return 1e-2;
}
constexpr int64_t kSingles = 4;  // images that run on their own, too

// Running statistics must fit the network's values, or these grow layer by layer.
void settle_statistics(const nn::Model& model, const Batch& batch) {
  const Ctx ctx{
      .stream = compute_stream(), .params = &model.params, .batch_norm = BatchNormMode::train};
  for (int i = 0; i < 3; ++i) model.network->forward(ctx, {batch.x, Var::kNone});
}

// Of a batch, where the network is.
Tensor forward(const nn::Model& model, const Tensor& x) {
  const Ctx ctx{
      .stream = compute_stream(), .params = &model.params, .params16 = nn::params16(model.params)};
  return model.network->forward(ctx, {x, Var::kNone}).value;
}

// On the CPU: waited for where the network is elsewhere.
Tensor logits_of(const nn::Model& model, const Tensor& x) {
  return forward(model, x).to({});
}

// The same, recorded where a GPU does it, as evaluation of many batches is (nn/predict.h).
class RecordedForward {
 public:
  RecordedForward(const nn::Model& model, const Batch& batch)
      : model_(model),
        batch_(batch),
        logits_({batch.size(), model.spec.classes}, DType::f32, compute_stream()) {}
  Tensor logits() {
    recorder_.run(compute_stream(), {nn::StepRecorder::place_of(batch_)},
                  [&] { logits_.copy_from(forward(model_, batch_.x)); });
    return logits_.to({});
  }

 private:
  const nn::Model& model_;
  const Batch& batch_;
  Tensor logits_;
  nn::StepRecorder recorder_;
};

double check_singles(const nn::Model& model, const Tensor& x, const Tensor& logits) {
  const int64_t classes = logits.dim(1), image = x.size() / x.dim(0);
  const double tolerance = logit_tolerance();
  double largest = 0, worst = 0;
  for (float z : logits.span()) largest = std::max(largest, std::abs(double{z}));
  for (int64_t n = 0; n < std::min(kSingles, x.dim(0)); ++n) {
    const Tensor one = logits_of(model, x.slice(n * image, {1, x.dim(1), x.dim(2), x.dim(3)}));
    for (int64_t c = 0; c < classes; ++c) {
      const double together = double{logits.data()[n * classes + c]}, alone = double{one.data()[c]};
      if (!(std::abs(together - alone) <= tolerance * largest))
        fail(ExitCode::verification,
             "bench infer {}: logit {} of image {} is {} in the batch and {} alone", model.name, c,
             n, together, alone);
      worst = std::max(worst, std::abs(together - alone));
    }
  }
  return worst;
}

}  // namespace

Batch synthetic_batch(const nn::InputSpec& spec, int64_t size, uint32_t key) {
  Batch batch{.x = Tensor({size, spec.height, spec.width, spec.channels}),
              .labels = Tensor({size}, DType::i32),
              .index = Tensor({size}, DType::i32)};
  fill_uniform(batch.x, key);
  for (int64_t i = 0; i < size; ++i) {
    batch.labels.as<int32_t>()[i] = static_cast<int32_t>(i % spec.classes);
    batch.index.as<int32_t>()[i] = static_cast<int32_t>(i);
  }
  batch.x = batch.x.to(compute_stream());
  return batch;
}

nn::Model initial_model(const BenchNetwork& options) {
  nn::Model model = nn::make_model(options.model, {});
  nn::initialise(model.params, nn::Init::kaiming, 0);
  return model;
}

double flops_of(const nn::Model& model, int passes, int64_t batch_size) {
  return 2.0 * passes * static_cast<double>(model.macs() * batch_size);
}

BenchNetworkResult bench_train(const BenchNetwork& options) {
  nn::Model model = initial_model(options);
  nn::Optimizer optimizer(model.params, {});
  nn::SupervisedStep step(model, optimizer, {.record = options.record, .overlap = options.overlap});
  const Batch batch = synthetic_batch(model.spec, options.batch_size, 0);
  StepScalars scalars{.lr = 0.01f};
  const auto run = [&] {
    const nn::StepResult result = step.run(batch, scalars);
    ++scalars.step;
    return result.loss;
  };
  const double first_loss = run();
  double last_loss = 0;
  for (int i = 1; i < std::max(2, options.warmup); ++i) last_loss = run();
  if (!std::isfinite(last_loss) || last_loss >= first_loss)
    fail(ExitCode::verification,
         "bench train {}: the loss went from {} to {} on one batch, expected a fall", options.model,
         first_loss, last_loss);
  const Timing time = time_calls(1, options.steps, [&] { run(); });
  return {time, flops_of(model, 3, options.batch_size), peak_mb(),
          fmt::format("loss of the first steps: {:.4f} to {:.4f}", first_loss, last_loss)};
}

BenchNetworkResult bench_infer(const BenchNetwork& options) {
  const nn::Model model = initial_model(options);
  const Batch batch = synthetic_batch(model.spec, options.batch_size, 0);
  settle_statistics(model, batch);
  const Tensor logits = logits_of(model, batch.x);
  const double worst = check_singles(model, batch.x, logits);
  pool_trim();  // what the checks had does not count
  const bool record = options.record && compute_stream().device == Device::cuda;
  RecordedForward recorded(model, batch);
  for (int i = 0; record && i < 3; ++i) {  // call by call, recorded, launched again
    const Tensor again = recorded.logits();
    if (!std::ranges::equal(again.span(), logits.span()))
      fail(ExitCode::verification, "bench infer {}: logits of a recorded pass are others",
           options.model);
  }
  const Timing time = time_calls(options.warmup, options.steps,
                                 [&] { record ? recorded.logits() : logits_of(model, batch.x); });
  return {time, flops_of(model, 1, options.batch_size), peak_mb(),
          fmt::format("logits in the batch and of single images differ by {:.1e}", worst)};
}

}  // namespace expunge::tools
