#pragma once

#include "core/device.h"
#include "core/function_ref.h"

// What work_graph.cpp needs of CUDA: in builds that have it (kCudaBuild).
namespace expunge {

void* cuda_record(Stream stream, FunctionRef<void()> work);  // cudaGraphExec_t
void cuda_launch(Stream stream, void* recorded);
void cuda_forget(void* recorded) noexcept;

// Whether this thread is inside cuda_record: what is queued now is not done now.
bool cuda_is_recording();

}  // namespace expunge
