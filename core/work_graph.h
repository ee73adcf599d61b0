#pragma once

#include "core/device.h"
#include "core/function_ref.h"
#include "core/memory.h"

namespace expunge {

// What a step does on a GPU, recorded once and launched as a whole from then on: one call of the
// host instead of one for each kernel. Recorded are kernels, addresses and arguments; what changes
// from launch to launch lies in memory that is filled before. Tensors made while recording are
// memory of the graph's own and hold what its last launch left there (those that a side stream
// makes for itself are that stream's).
class WorkGraph {
 public:
  // Runs `work` once, to record it; nothing of it is done. It may only queue: to wait for the
  // stream, or to send from the host, is Error.
  WorkGraph(Stream stream, FunctionRef<void()> work);
  ~WorkGraph();
  WorkGraph(const WorkGraph&) = delete;

  void launch() const;  // in the order of the stream

 private:
  Stream stream_;
  PoolArea memory_;
  void* recorded_ = nullptr;  // cudaGraphExec_t
};

}  // namespace expunge
