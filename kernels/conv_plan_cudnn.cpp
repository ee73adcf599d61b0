#include "kernels/conv_plan_cudnn.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

#include "kernels/own_plan_cudnn.h"

namespace expunge::kernels::cudnn {
namespace {

constexpr const char* kPasses[] = {"forward", "data", "weights"};
constexpr const char* kPrecisions[] = {"fp32", "tf32", "bf16", "fp16"};  // by Precision

cudnnDataType_t type_of(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return CUDNN_DATA_BFLOAT16;
    case Precision::fp16:
      return CUDNN_DATA_HALF;
    case Precision::fp32:
    case Precision::tf32:
      break;
  }
  return CUDNN_DATA_FLOAT;
}

// cuDNN's names for what a pass reads and writes.
struct PassNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};
constexpr PassNames kNames[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

Descriptor convolution(const Conv2dShape& s) {
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set_one(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set_one(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
               CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {2})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {s.stride, s.stride})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {s.pad, s.pad})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {s.pad, s.pad})
      .finalize("describing a convolution");
  return d;
}

Descriptor graph_of(const ConvProblem& p) {
  const Conv2dShape& s = p.shape;
  const PassNames& names = kNames[static_cast<size_t>(p.pass)];
  const cudnnDataType_t type = type_of(p.precision);
  Descriptor operation(names.operation);
  operation.set(names.conv, convolution(s))
      .set(names.x, tensor(kX, {s.N, s.C, s.H, s.W}, type, p.alignment))
      .set(names.w, tensor(kW, {s.K, s.C, s.R, s.S}, type, p.alignment))
      .set(names.y, tensor(kY, {s.N, s.K, s.P(), s.Q()}, type, p.alignment))
      .set_one(names.alpha, CUDNN_TYPE_FLOAT, 1.0f)
      .set_one(names.beta, CUDNN_TYPE_FLOAT, p.accumulates && !p.wide ? 1.0f : 0.0f)
      .finalize("describing a pass");
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation).finalize("describing an operation");
  return graph;
}

// Descriptors of this type that an attribute holds.
std::vector<Descriptor> held(const Descriptor& by, cudnnBackendAttributeName_t name,
                             cudnnBackendDescriptorType_t type, int64_t most) {
  std::vector<Descriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < most; ++i) raw.push_back(all.emplace_back(type).get());
  int64_t count = 0;
  check_cudnn(cudnnBackendGetAttribute(by.get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &count,
                                       raw.data()),
              "reading descriptors");
  all.erase(all.begin() + std::min(count, most), all.end());
  return all;
}

// What heuristics of this mode propose, the fastest first.
std::vector<Descriptor> configurations(const Descriptor& graph, const Descriptor& device,
                                       cudnnBackendHeurMode_t mode) {
  constexpr int64_t kMost = 64;
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device)
      .set_one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  if (heuristics.try_finalize() != CUDNN_STATUS_SUCCESS) return {};
  return held(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kMost);
}

bool keeps_promises(const Descriptor& engine, const ConvProblem& p, const PlanLimits& limits) {
  const std::vector<int32_t> notes =
      engine.get_notes(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
  const auto has = [&](int32_t note) { return std::ranges::find(notes, note) != notes.end(); };
  if (limits.deterministic && has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return false;
  if (has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return false;
  if (p.precision != Precision::fp32) return true;
  return !has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) && !has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
}

ConvEngine engine_of(const Descriptor& configuration, const Descriptor& engine) {
  constexpr int64_t kMost = 64;
  ConvEngine named{.index = engine.get_int64(CUDNN_ATTR_ENGINE_GLOBAL_INDEX)};
  for (const Descriptor& knob : held(configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                     CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, kMost))
    named.knobs.emplace_back(knob.get_enum(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE),
                             knob.get_int64(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  return named;
}

// An engine's configuration made ready. None: not for this problem, or beyond the limits.
std::optional<ConvPlan> plan_of(const ConvProblem& problem, const Descriptor& device,
                                const PlanLimits& limits, const Descriptor& configuration,
                                const Descriptor& engine) {
  if (!keeps_promises(engine, problem, limits)) return {};
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration)
      .set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
  if (plan.try_finalize() != CUDNN_STATUS_SUCCESS) return {};
  ConvPlan made(std::move(plan), engine_of(configuration, engine));
  if (made.workspace() > limits.workspace) return {};
  return made;
}

}  // namespace

DType ConvProblem::type() const {
  return precision == Precision::bf16   ? DType::bf16
         : precision == Precision::fp16 ? DType::f16
                                        : DType::f32;
}

std::string ConvProblem::str() const {
  return fmt::format("{} n{} h{} w{} c{} k{} r{} s{} stride{} pad{} {}{}{}{}{}",
                     kPasses[static_cast<size_t>(pass)], shape.N, shape.H, shape.W, shape.C,
                     shape.K, shape.R, shape.S, shape.stride, shape.pad,
                     kPrecisions[static_cast<size_t>(precision)], accumulates ? " adds" : "",
                     alignment == 16 ? "" : fmt::format(" align{}", alignment),
                     algo == ConvAlgo::direct ? "" : fmt::format(" {}", conv_algo_name(algo)),
                     wide ? " wide" : "");
}

std::string ConvEngine::str() const {
  std::string text = std::to_string(index);
  for (const auto& [type, value] : knobs) text += fmt::format(" {}={}", type, value);
  return text;
}

std::optional<ConvEngine> ConvEngine::parse(const std::string& text) {
  std::istringstream words(text);
  ConvEngine engine;
  if (!(words >> engine.index)) return {};
  for (int64_t type, value; words >> type;) {
    if (words.get() != '=' || !(words >> value)) return {};
    engine.knobs.emplace_back(type, value);
  }
  if (!words.eof()) return {};
  return engine;
}

std::vector<ConvPlan> conv_plans(const ConvProblem& problem, const Descriptor& device,
                                 const PlanLimits& limits) {
  std::vector<ConvPlan> plans = own_plans(problem, limits);
  if (problem.algo == ConvAlgo::winograd && !plans.empty()) return plans;
  std::map<int64_t, size_t> of_engine;
  const Descriptor graph = graph_of(problem);
  // mode A proposes tensor cores first, which strict fp32 does not take: the other lists have more
  for (const cudnnBackendHeurMode_t mode :
       {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const Descriptor& configuration : configurations(graph, device, mode)) {
      if (plans.size() >= limits.count) return plans;
      const std::vector<Descriptor> engine =
          held(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
      if (engine.empty() || std::ranges::find(plans, engine_of(configuration, engine.front()),
                                              &ConvPlan::engine) != plans.end())
        continue;
      std::optional<ConvPlan> plan =
          plan_of(problem, device, limits, configuration, engine.front());
      if (plan && ++of_engine[plan->engine().index] <= limits.of_engine)
        plans.push_back(std::move(*plan));
    }
  }
  return plans;
}

std::optional<ConvPlan> conv_plan(const ConvProblem& problem, const Descriptor& device,
                                  const ConvEngine& named, const PlanLimits& limits) {
  if (named.index < 0) return own_plan(problem, named, limits);
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph_of(problem))
      .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, {named.index})
      .set(CUDNN_ATTR_ENGINE_DEVICEPROP, device);
  if (engine.try_finalize() != CUDNN_STATUS_SUCCESS) return {};
  std::vector<Descriptor> knobs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const auto& [type, value] : named.knobs) {
    const auto kind = static_cast<cudnnBackendKnobType_t>(type);
    Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    raw.push_back(knob.get());
    if (!knob.try_set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &kind) ||
        !knob.try_set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value) ||
        knob.try_finalize() != CUDNN_STATUS_SUCCESS)
      return {};
  }
  Descriptor configuration(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  configuration.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!raw.empty() &&
      !configuration.try_set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                             std::ssize(raw), raw.data()))
    return {};
  if (configuration.try_finalize() != CUDNN_STATUS_SUCCESS) return {};
  return plan_of(problem, device, limits, configuration, engine);
}

void ConvPlan::run(cudnnHandle_t handle, const ConvPointers& at, void* workspace) const {
  const std::array<const void*, 3> pointers = {at.x, at.w, at.y};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers.data())
      .set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, {kX, kW, kY})
      .set_one(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace)
      .finalize("naming a convolution's tensors");
  check_cudnn(cudnnBackendExecute(handle, plan_->get(), pack.get()), "running a convolution");
}

}  // namespace expunge::kernels::cudnn
