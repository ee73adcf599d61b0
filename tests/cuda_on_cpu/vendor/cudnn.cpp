// In place of cuDNN: descriptors that hold what is set, heuristics that propose a few engines, and
// plans that do what convolution.cpp does when their stream gets to it. What cuDNN would refuse,
// and what it would do wrong in silence, ends the program.
#include <cudnn_backend.h>

#include <algorithm>
#include <cstring>

#include "cuda_on_cpu/device.h"
#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/streams.h"
#include "cuda_on_cpu/vendor/engines.h"

using namespace cuda_on_cpu;

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace {

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
      return 8;
    default:
      return 4;
  }
}

const Node& demand(cudnnBackendDescriptor_t descriptor, cudnnBackendDescriptorType_t type) {
  const Node& node = *of(descriptor);
  if (node.type != type || !node.finalized) die("cuDNN: another descriptor, or not finalized");
  return node;
}

}  // namespace

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;  // for good, as ours are
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion() {
  return 1;
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_ALLOC_FAILED:
      return "CUDNN_STATUS_ALLOC_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
  }
  return "?";
}

void cudnnGetLastErrorString(char* words, size_t size) {
  if (size > 0) *words = 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  *descriptor = new Ref(std::make_shared<Node>(Node{.type = type}));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete &of(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  Node& node = *of(descriptor);
  if (node.finalized) return CUDNN_STATUS_BAD_PARAM;
  if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const auto* bytes = static_cast<const std::byte*>(values);
    node.values[name] = {type, {bytes, bytes + static_cast<size_t>(count) * size_of(type)}};
    return CUDNN_STATUS_SUCCESS;
  }
  const auto* descriptors = static_cast<const cudnnBackendDescriptor_t*>(values);
  std::vector<Ref>& nodes = node.nodes[name] = {};
  for (int64_t i = 0; i < count; ++i) {
    if (!of(descriptors[i])->finalized) return CUDNN_STATUS_BAD_PARAM;
    nodes.push_back(of(descriptors[i]));
  }
  return CUDNN_STATUS_SUCCESS;
}

// What is not there is nothing; of another type is an error.
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t most,
                                       int64_t* count, void* values) {
  const Node& node = *of(descriptor);
  if (!node.finalized) return CUDNN_STATUS_BAD_PARAM;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const auto at = node.nodes.find(name);
    *count = at == node.nodes.end() ? 0 : std::min(std::ssize(at->second), most);
    auto* to = static_cast<cudnnBackendDescriptor_t*>(values);
    for (int64_t i = 0; i < *count; ++i) of(to[i]) = at->second[static_cast<size_t>(i)];
    return CUDNN_STATUS_SUCCESS;
  }
  const auto at = node.values.find(name);
  if (at == node.values.end() || at->second.type != type) return CUDNN_STATUS_BAD_PARAM;
  const size_t bytes = std::min(at->second.bytes.size(), static_cast<size_t>(most) * size_of(type));
  *count = static_cast<int64_t>(bytes / size_of(type));
  std::copy_n(at->second.bytes.data(), bytes, static_cast<std::byte*>(values));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return finalize(*of(descriptor));
}

// All of the workspace is written, so that one that is too small, or somebody else's, is noticed.
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t variant_pack) {
  const Lock lock(machine_lock());
  const Plan to_run = plan_of(demand(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
  const Node& pack = demand(variant_pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  switch (to_run.engine->kind) {
    case Engine::unsteady:
      die("cuDNN: an engine that is not deterministic is run");
    case Engine::refuses:
      return CUDNN_STATUS_NOT_SUPPORTED;
    case Engine::refuses_capture:
      if (is_captured(handle->stream)) return CUDNN_STATUS_EXECUTION_FAILED;
      break;
    case Engine::direct:
    case Engine::tiled:
      break;
  }
  const auto bytes = static_cast<size_t>(to_run.workspace());
  auto* const workspace = pack.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (bytes > 0) demand_device("cuDNN: the workspace", workspace, bytes);
  const auto convolution = convolution_of(*to_run.operation, pack);
  enqueue(handle->stream, [=, ms = to_run.takes()] {
    if (bytes > 0) std::memset(workspace, 0xff, bytes);
    run(convolution);
    takes(ms);
  });
  return CUDNN_STATUS_SUCCESS;
}
