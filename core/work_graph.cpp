#include "core/work_graph.h"

#include "core/work_graph_cuda.h"

namespace expunge {

WorkGraph::WorkGraph(Stream stream, FunctionRef<void()> work) : stream_(stream) {
  const PoolArea::Entered entered(memory_);
  const auto on_gpu = [&] { recorded_ = cuda_record(stream, work); };
  dispatch(
      stream, [] { no_cuda_backend(); }, on_gpu);
}

WorkGraph::~WorkGraph() {
  on_cuda(stream_, [&] { cuda_forget(recorded_); });
}

void WorkGraph::launch() const {
  on_cuda(stream_, [&] { cuda_launch(stream_, recorded_); });
}

}  // namespace expunge
