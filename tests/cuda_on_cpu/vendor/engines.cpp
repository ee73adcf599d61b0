#include "cuda_on_cpu/vendor/engines.h"

#include <optional>

namespace cuda_on_cpu {
namespace {

// Which should be taken: of those that are allowed and always run the fastest, `tiled` with the
// knob at 3, in strict fp32 `direct`; our own of two kernels, not those of four.
const std::vector<Engine>& engines() {  // by their number
  static const std::vector<Engine> all = {
      {Engine::direct, 7},
      {Engine::tiled, 7, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, 4},
      {Engine::unsteady, 1, {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}},
      {Engine::unsteady, 1, {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}},
      {Engine::refuses, 1},
      {Engine::refuses_capture, 1}};
  return all;
}
constexpr auto kKnob = static_cast<cudnnBackendKnobType_t>(3);
constexpr int64_t kAligned = 16;  // bytes, which `tiled` wants

const Node& operation(const Node& graph) {
  return graph.node(CUDNN_ATTR_OPERATIONGRAPH_OPS);
}

Ref made(cudnnBackendDescriptorType_t type) {
  return std::make_shared<Node>(Node{.type = type});
}

std::optional<Ref> configuration(const Ref& graph, const Ref& device, int64_t index, int64_t knob) {
  const Ref engine = made(CUDNN_BACKEND_ENGINE_DESCRIPTOR),
            choice = made(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR),
            all = made(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  engine->nodes[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = {graph};
  engine->nodes[CUDNN_ATTR_ENGINE_DEVICEPROP] = {device};
  engine->set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, std::vector{index});
  if (finalize(*engine) != CUDNN_STATUS_SUCCESS) return {};
  choice->set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, std::vector{kKnob});
  choice->set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, std::vector{knob});
  choice->finalized = true;
  all->nodes[CUDNN_ATTR_ENGINECFG_ENGINE] = {engine};
  all->nodes[CUDNN_ATTR_ENGINECFG_KNOB_CHOICES] = {choice};
  if (finalize(*all) != CUDNN_STATUS_SUCCESS) return {};
  return all;
}

// Mode B knows the same as A; fallback has none.
void propose(Node& heuristics) {
  const Ref graph = heuristics.nodes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).at(0),
            device = heuristics.nodes.at(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP).at(0);
  std::vector<Ref>& results = heuristics.nodes[CUDNN_ATTR_ENGINEHEUR_RESULTS];
  if (heuristics.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) ==
      CUDNN_HEUR_MODE_FALLBACK)
    return;
  for (size_t index = 0; index < engines().size(); ++index)
    for (int64_t knob = 0; knob < engines()[index].knobs; ++knob)
      if (auto all = configuration(graph, device, static_cast<int64_t>(index), knob))
        results.push_back(std::move(*all));
}

const Engine* engine_of(const Node& engine) {
  const auto index = engine.one<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  return index < 0 || index >= std::ssize(engines()) ? nullptr
                                                     : &engines()[static_cast<size_t>(index)];
}

}  // namespace

Plan plan_of(const Node& plan) {
  const Node& config = plan.node(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const Node& engine = config.node(CUDNN_ATTR_ENGINECFG_ENGINE);
  const Node& op = operation(engine.node(CUDNN_ATTR_ENGINE_OPERATION_GRAPH));
  return {engine_of(engine),
          config.node(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES)
              .one<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE),
          &op, convolution_of(op)};
}

// An odd number: what is put behind it must be aligned anew.
int64_t Plan::workspace() const {
  if (engine->kind != Engine::tiled) return 0;
  return (convolution.x_size() + convolution.y_size()) * (1 + knob) + 1;
}

cudnnStatus_t finalize(Node& node) {
  switch (node.type) {
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      node.node(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
      propose(node);
      break;
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR: {
      node.node(CUDNN_ATTR_ENGINE_DEVICEPROP);
      const Engine* engine = engine_of(node);
      const Node& op = operation(node.node(CUDNN_ATTR_ENGINE_OPERATION_GRAPH));
      if (engine == nullptr || (engine->kind == Engine::tiled && alignment_of(op) < kAligned))
        return CUDNN_STATUS_NOT_SUPPORTED;
      node.set(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, engine->notes);
      break;
    }
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: {
      const auto& choices = node.nodes[CUDNN_ATTR_ENGINECFG_KNOB_CHOICES];
      const Engine* engine = engine_of(node.node(CUDNN_ATTR_ENGINECFG_ENGINE));
      if (choices.size() != 1 ||
          choices[0]->one<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE) != kKnob ||
          choices[0]->one<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE) >= engine->knobs)
        return CUDNN_STATUS_NOT_SUPPORTED;
      break;
    }
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      node.node(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
      node.set(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
               std::vector{plan_of(node).workspace()});
      break;
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
      if (!node.has(CUDNN_ATTR_DEVICEPROP_HANDLE)) return CUDNN_STATUS_BAD_PARAM;
      break;
    default:
      break;
  }
  node.finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace cuda_on_cpu
