#include <cmath>
#include <cstring>

#include "core/check.h"
#include "kernels/precision.h"
#include "tools/bench_network.h"
#include "unlearn/methods.h"
#include "unlearn/step.h"

namespace expunge::tools {
namespace {

// One batch again and again, at one place.
class SameBatch final : public BatchSource {
 public:
  explicit SameBatch(Batch batch) : batch_(std::move(batch)) {}
  int64_t samples() const override { return batch_.size(); }
  int64_t batches() const override { return 1; }
  void start(int, int64_t) override {}
  bool next(Batch& batch) override { return batch = batch_, true; }

 private:
  Batch batch_;
};

// Everything that a run of unlearning has, on synthetic images.
struct StepProblem {
  StepProblem(const BenchNetwork& o, bool in_backward)
      : model(initial_model(o)),
        optimizer(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0}),
        forget(synthetic_batch(model.spec, o.batch_size, 0)),
        retain(synthetic_batch(model.spec, o.batch_size, 1)),
        step(model, optimizer, retain, config_of(o, in_backward)) {}

  static unlearn::StepConfig config_of(const BenchNetwork& o, bool in_backward) {
    const unlearn::Method& method = unlearn::method(o.method);
    unlearn::StepConfig config;
    config.forget = &unlearn::objective(method.forget);
    config.retain = &unlearn::objective(method.retain);
    config.gate = unlearn::GateSpec::parse(o.gate);
    config.estimator = unlearn::EstimatorSpec::parse(o.estimator);
    config.saliency_pass = method.saliency_pass && config.gate.row->uses.saliency;
    config.in_backward = in_backward;
    config.record = o.record;
    config.overlap = o.overlap;
    config.joint = o.joint;
    return config;
  }
  double run() {
    const double loss = step.run(forget, scalars).loss;
    ++scalars.step;
    return loss;
  }

  nn::Model model;
  nn::Optimizer optimizer;
  Batch forget;
  SameBatch retain;
  unlearn::UnlearnStep step;
  StepScalars scalars{.lr = 1e-4f};
};

// Steps with passes apart, as they are timed otherwise, against steps call by call that update
// inside the backward pass: the same bits. Returns the last loss.
double check_step(const BenchNetwork& o) {
  constexpr int kSteps = 4;  // the second is recorded, the third launched
  BenchNetwork apart = o, call_by_call = o;
  apart.joint = call_by_call.joint = call_by_call.record = call_by_call.overlap = false;
  StepProblem timed(apart, false), plain(call_by_call, true);
  double loss = 0;
  for (int i = 0; i < kSteps; ++i) {
    loss = timed.run();
    const double expected = plain.run();
    if (!std::isfinite(loss) || loss != expected)
      fail(ExitCode::verification, "bench step {}: the loss of step {} is {}, call by call {}",
           o.model, i, loss, expected);
  }
  const Tensor a = timed.model.params.values().to({}), b = plain.model.params.values().to({});
  if (std::memcmp(a.data(), b.data(), a.span().size_bytes()) != 0)
    fail(ExitCode::verification,
         "bench step {}: after {} steps weights differ from those of steps "
         "call by call",
         o.model, kSteps);
  return loss;
}

// Of a tensor's mean of gradients: twice as many images may have another plan, whose sums come in
// another order, and what is rounded otherwise may pass a ReLU or not (docs/decisions/0020). Of
// another batch, or of half of one, it is more than 1.
double joint_tolerance() {
  return kernels::precision() == kernels::Precision::fp32 ? 5e-2 : 0.6;
}

// Adam's means of gradients after steps with a joint pass and with passes apart, tensor by tensor,
// by their norms. The weights stay as they are: Adam's first steps are signs, which would make much
// of little.
void check_joint(const BenchNetwork& o) {
  constexpr int kSteps = 3;
  BenchNetwork joint = o, apart = o;
  joint.gate = apart.gate = "none";
  apart.joint = false;
  StepProblem together(joint, false), in_turn(apart, false);
  together.scalars.lr = in_turn.scalars.lr = 0;
  for (int i = 0; i < kSteps; ++i) together.run(), in_turn.run();
  const Tensor a = together.optimizer.state()[0].buffer.to({}),
               b = in_turn.optimizer.state()[0].buffer.to({});
  for (const Range& range : together.model.params.parameters()) {
    double difference = 0, size = 0;
    for (int64_t i = range.offset; i < range.offset + range.size; ++i) {
      const double x = double{a.data()[i]}, y = double{b.data()[i]};
      difference += (x - y) * (x - y), size += y * y;
    }
    if (!(std::sqrt(difference) <= joint_tolerance() * std::sqrt(size)))
      fail(ExitCode::verification,
           "bench step {}: after {} steps of joint passes the means of gradients of {} are {:.1e} "
           "from those of passes apart, which are {:.1e} long",
           o.model, kSteps, range.name, std::sqrt(difference), std::sqrt(size));
  }
}

}  // namespace

BenchNetworkResult bench_step(const BenchNetwork& options) {
  const double loss = check_step(options);
  const bool joint = options.joint && options.record && compute_stream().device == Device::cuda;
  if (joint) check_joint(options);
  pool_trim();  // what the checks had does not count
  StepProblem problem(options, compute_stream().device == Device::cpu);
  const Timing time = time_calls(options.warmup, options.steps, [&] { problem.run(); });
  const int passes = problem.step.passes();
  return {time, flops_of(problem.model, 3 * passes, options.batch_size), peak_mb(),
          fmt::format("{} with {}, estimator {}: {} passes a step{}, images/s of one batch; with "
                      "passes apart the "
                      "same bits as steps call by call, retain loss {:.4f}",
                      options.method, options.gate, options.estimator, passes,
                      joint ? ", two of them joint" : "", loss)};
}

}  // namespace expunge::tools
