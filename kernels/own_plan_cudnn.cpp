#include "kernels/own_plan_cudnn.h"

#include <algorithm>

#include "kernels/conv2d_taps.h"
#include "kernels/winograd_chunks.h"

namespace expunge::kernels::cudnn {
namespace {

// Of planes of images at a time: of few more stays in the L2 cache (60 MB on an H200), of many the
// multiprocessors are fuller.
constexpr int64_t kMegabytes[] = {32, 128, 448};

bool takes_winograd(const ConvProblem& p) {
  return p.precision == Precision::fp32 && p.alignment >= 16 && p.shape.N > 0 &&
         conv_algo_for(p.shape, p.algo) == ConvAlgo::winograd;
}

int64_t workspace(const ConvProblem& p, int64_t images) {
  switch (p.pass) {
    case ConvPass::forward:
      return cuda::winograd_workspace(p.shape, images);
    case ConvPass::data:
      return cuda::winograd_backward_data_workspace(p.shape, images);
    case ConvPass::weights:
      break;
  }
  return cuda::winograd_backward_weights_workspace(p.shape, images);
}

ConvPlan winograd_plan(const ConvProblem& p, int64_t images) {
  return {{.index = ConvEngine::kWinograd, .knobs = {{0, images}}}, workspace(p, images)};
}

// All, or a power of two: then what is left over is seldom less. At least one.
int64_t images_in(const ConvProblem& p, int64_t bytes) {
  const int64_t of_one = cuda::winograd_planes_bytes(p.shape, 1);
  if (p.shape.N * of_one <= bytes) return p.shape.N;
  int64_t images = 1;
  while (2 * images < p.shape.N && 2 * images * of_one <= bytes) images *= 2;
  return images;
}

bool takes_taps(const ConvProblem& p) {
  return (p.precision == Precision::tf32 || p.wide) && p.pass == ConvPass::weights &&
         p.alignment >= 16 && p.shape.N > 0 && is_conv2d_taps(p.shape);
}

ConvPlan taps_plan(const ConvProblem& p) {
  const Conv2dShape& s = p.shape;
  const int64_t parts = conv2d_taps_parts(s);
  return {{.index = ConvEngine::kTaps, .knobs = {{0, parts}}},
          parts * conv2d_taps_weights(s) * static_cast<int64_t>(sizeof(float))};
}

std::vector<ConvPlan> candidates(const ConvProblem& p) {
  std::vector<ConvPlan> plans;
  if (takes_taps(p)) plans.push_back(taps_plan(p));
  if (!takes_winograd(p)) return plans;
  for (const int64_t megabytes : kMegabytes)
    plans.push_back(winograd_plan(p, images_in(p, megabytes << 20)));
  return plans;
}

}  // namespace

std::vector<ConvPlan> own_plans(const ConvProblem& problem, const PlanLimits& limits) {
  std::vector<ConvPlan> plans;
  for (ConvPlan& made : candidates(problem))
    if (plans.size() < limits.count && made.workspace() <= limits.workspace &&
        std::ranges::find(plans, made.engine(), &ConvPlan::engine) == plans.end())
      plans.push_back(std::move(made));
  return plans;
}

std::optional<ConvPlan> own_plan(const ConvProblem& problem, const ConvEngine& engine,
                                 const PlanLimits& limits) {
  std::vector<ConvPlan> plans = own_plans(problem, limits);
  const auto named = std::ranges::find(plans, engine, &ConvPlan::engine);
  if (named == plans.end()) return {};
  return std::move(*named);
}

}  // namespace expunge::kernels::cudnn
