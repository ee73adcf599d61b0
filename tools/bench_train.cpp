#include "tools/bench_train.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "core/rng.h"
#include "nn/fit.h"

namespace expunge::tools {
namespace {

Batch synthetic_batch(const nn::InputSpec& spec, int64_t size) {
  Batch batch{.x = Tensor({size, spec.height, spec.width, spec.channels}),
              .labels = Tensor({size}, DType::i32)};
  for (int64_t i = 0; i < batch.x.size(); ++i) {
    const rng::Draw draw =
        rng::philox(0, rng::Purpose::test, {{static_cast<uint32_t>(i), 0, 0, 0}});
    batch.x.data()[i] = 3.4f * rng::uniform(draw.word[0]) - 1.7f;  // about unit variance
  }
  for (int64_t i = 0; i < size; ++i)
    batch.labels.as<int32_t>()[i] = static_cast<int32_t>(i % spec.classes);
  return batch;
}

}  // namespace

BenchTrainResult bench_train(const BenchTrain& options) {
  nn::Model model = nn::make_model(options.model, {});
  nn::initialise(model.params, nn::Init::kaiming, 0);
  nn::Optimizer optimizer(model.params, {});
  nn::SupervisedStep step(model, optimizer);
  const Batch batch = synthetic_batch(model.spec, options.batch_size);
  StepScalars scalars{.lr = 0.01f};
  const auto run = [&] {
    const nn::StepResult result = step.run(batch, scalars);
    ++scalars.step;
    return result.loss;
  };

  BenchTrainResult result{};
  result.first_loss = run();
  for (int i = 1; i < std::max(2, options.warmup); ++i) result.last_loss = run();
  if (!std::isfinite(result.last_loss) || result.last_loss >= result.first_loss)
    fail(ExitCode::verification,
         "bench train {}: the loss went from {} to {} on one batch, expected a fall", options.model,
         result.first_loss, result.last_loss);

  std::vector<double> ms;
  for (int i = 0; i < options.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
                     .count());
  }
  std::ranges::sort(ms);
  result.median_ms = ms[ms.size() / 2], result.min_ms = ms.front(), result.max_ms = ms.back();
  result.images_per_s = 1e3 * static_cast<double>(options.batch_size) / result.median_ms;
  result.gflops = 6e-6 * static_cast<double>(model.macs() * options.batch_size) / result.median_ms;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  result.peak_rss_mb = usage.ru_maxrss >> 10;
  return result;
}

}  // namespace expunge::tools
