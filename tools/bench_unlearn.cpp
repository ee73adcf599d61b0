#include "tools/bench_unlearn.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/rng.h"

namespace expunge::tools {
namespace {

nn::Model drawn_model(const std::string& name) {
  nn::Model model = nn::make_model(name, {});
  nn::initialise(model.params, nn::Init::kaiming, 0);
  model.params.move_to(compute_stream());
  return model;
}

unlearn::StepGradients drawn_gradients(const ParamStore& params) {
  const Tensor like = params.values();
  const unlearn::StepGradients g{.g_f = Tensor(like.shape()), .g_r = Tensor(like.shape())};
  g.g_f.zero(), g.g_r.zero();
  for (const Range& range : params.parameters())
    parallel_ranges(range.size, [&](int64_t begin, int64_t end) {
      for (int64_t i = range.offset + begin; i < range.offset + end; ++i) {
        const rng::Draw draw =
            rng::philox(0, rng::Purpose::test, {{static_cast<uint32_t>(i), 1, 0, 0}});
        const rng::NormalPair n = rng::normal_pair(draw.word[0], draw.word[1]);
        g.g_f.data()[i] = static_cast<float>(1e-3 * n.value[0]);
        g.g_r.data()[i] = static_cast<float>(1e-3 * (0.866 * n.value[1] - 0.5 * n.value[0]));
      }
    });
  return {.g_f = g.g_f.to(compute_stream()), .g_r = g.g_r.to(compute_stream())};
}

}  // namespace

UpdateProblem::UpdateProblem(const BenchUnlearn& options)
    : model(drawn_model(options.model)),
      optimizer(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0}),
      gradients(drawn_gradients(model.params)),
      config{.gate = options.gate, .estimator = options.estimator},
      update(model.params, optimizer, gradients, config) {}

void UpdateProblem::step() {
  update.all(scalars);
  ++scalars.step;
}

int64_t bytes_per_parameter(const BenchUnlearn& options, const UpdateProblem& problem) {
  int64_t statistics = 0;  // flat buffers of both objectives; none where phi is not asked for
  for (const NamedBuffer& b : problem.update.state()) statistics += b.name != "mask";
  const bool tensor = options.gate.row->scope != unlearn::Scope::element;
  return 32 + 8 * statistics + (tensor ? 16 : 0) + (tensor && statistics > 0 ? 16 : 0);
}

BenchUnlearnResult bench_unlearn(const BenchUnlearn& options) {
  check_update(options);
  const Device device = compute_stream().device;
  const int64_t before = pool_stats(device).bytes_in_use;
  pool_restart_peak();
  UpdateProblem problem(options);
  const Timing time = time_calls(options.warmup, options.steps, [&] { problem.step(); });
  return {.time = time,
          .parameters = problem.model.params.parameters().size(),
          .bytes_per_parameter = bytes_per_parameter(options, problem),
          .memory_mb = mb_of(pool_stats(device).peak_bytes_in_use - before)};
}

}  // namespace expunge::tools
