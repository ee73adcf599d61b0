#include "tools/bench_unlearn.h"

#include <algorithm>
#include <chrono>

#include "core/parallel.h"
#include "core/rng.h"

namespace expunge::tools {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void draw_gradients(const RangeTable& table, const unlearn::StepGradients& g) {
  for (const Range& range : table)
    parallel_ranges(range.size, [&](int64_t begin, int64_t end) {
      for (int64_t i = range.offset + begin; i < range.offset + end; ++i) {
        const rng::Draw draw =
            rng::philox(0, rng::Purpose::test, {{static_cast<uint32_t>(i), 1, 0, 0}});
        const rng::NormalPair n = rng::normal_pair(draw.word[0], draw.word[1]);
        g.g_f.data()[i] = static_cast<float>(1e-3 * n.value[0]);
        g.g_r.data()[i] = static_cast<float>(1e-3 * (0.866 * n.value[1] - 0.5 * n.value[0]));
      }
    });
}

int64_t bytes_of(const BenchUnlearn& options, const UpdateProblem& problem) {
  int64_t statistics = 0;  // flat buffers of both objectives; none where phi is not asked for
  for (const NamedBuffer& b : problem.update.state()) statistics += b.name != "mask";
  const bool tensor = options.gate.row->scope != unlearn::Scope::element;
  return 32 + 8 * statistics + (tensor ? 16 : 0) + (tensor && statistics > 0 ? 16 : 0);
}

}  // namespace

UpdateProblem::UpdateProblem(const BenchUnlearn& options)
    : model(nn::make_model(options.model, {})),
      optimizer(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0}),
      gradients{.g_f = model.params.make_buffer(), .g_r = model.params.make_buffer()},
      config{.gate = options.gate, .estimator = options.estimator},
      update(model.params, optimizer, gradients, config) {
  nn::initialise(model.params, nn::Init::kaiming, 0);
  draw_gradients(model.params.parameters(), gradients);
}

void UpdateProblem::step() {
  update.all(scalars);
  ++scalars.step;
}

BenchUnlearnResult bench_unlearn(const BenchUnlearn& options) {
  check_update(options);
  UpdateProblem problem(options);
  for (int i = 0; i < options.warmup; ++i) problem.step();
  std::vector<double> ms;
  for (int i = 0; i < options.steps; ++i) {
    const auto start = Clock::now();
    problem.step();
    ms.push_back(ms_since(start));
  }
  std::ranges::sort(ms);
  return {.median_ms = ms[ms.size() / 2],
          .min_ms = ms.front(),
          .max_ms = ms.back(),
          .parameters = problem.model.params.parameters().size(),
          .bytes_per_parameter = bytes_of(options, problem)};
}

double triad_gb_per_s() {
  constexpr int64_t n = int64_t{32} << 20;
  constexpr int kPasses = 9;
  const Tensor a({n}), b({n}), c({n});
  for (const Tensor& t : {a, b, c})
    parallel_ranges(
        n, [&](int64_t begin, int64_t end) { std::fill(t.data() + begin, t.data() + end, 1.0f); });
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = Clock::now();
    parallel_ranges(n, [x = a.data(), y = b.data(), z = c.data()](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) x[i] = y[i] + 3.0f * z[i];
    });
    best = std::max(best, 12e-6 * static_cast<double>(n) / ms_since(start));
  }
  return best;
}

}  // namespace expunge::tools
