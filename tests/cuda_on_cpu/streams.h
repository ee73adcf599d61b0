#pragma once

#include <functional>

struct CUstream_st;

namespace cuda_on_cpu {

void enqueue(CUstream_st* stream, std::function<void()> work);
void run_everything();

}  // namespace cuda_on_cpu
