#include "core/work_graph_cuda.h"

#include "core/cuda_check.h"

namespace expunge {
namespace {

thread_local bool recording = false;

// Ends in any case: a stream that stays in capture takes no work at all.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    recording = true;
  }
  ~Capture() {
    if (recording) end(), cudaGetLastError();
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  cudaGraph_t graph() {
    check_cuda(end());
    return graph_;
  }

 private:
  cudaError_t end() {
    recording = false;
    return cudaStreamEndCapture(stream_, &graph_);
  }
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
};

}  // namespace

void* cuda_record(Stream stream, FunctionRef<void()> work) {
  Capture capture(static_cast<cudaStream_t>(stream.cuda));
  work();
  cudaGraphExec_t recorded = nullptr;
  check_cuda(cudaGraphInstantiate(&recorded, capture.graph(), 0));
  return recorded;
}

void cuda_launch(Stream stream, void* recorded) {
  check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recorded),
                             static_cast<cudaStream_t>(stream.cuda)));
}

// Waits for the last launch, whose memory goes next.
void cuda_forget(void* recorded) noexcept {
  if (recorded == nullptr) return;
  cudaDeviceSynchronize();
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recorded));
}

bool cuda_is_recording() {
  return recording;
}

}  // namespace expunge
