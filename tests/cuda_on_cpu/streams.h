#pragma once

#include <functional>

struct CUstream_st;

namespace cuda_on_cpu {

void enqueue(CUstream_st* stream, std::function<void()> work);
bool is_captured(CUstream_st* stream);
void run_everything();

// The machine's clock, which events are stamped with, goes on by what each piece of work says that
// it takes: the same in every run.
constexpr double kLaunchTakes = 1.9;  // milliseconds, of any kernel
void takes(double milliseconds);

}  // namespace cuda_on_cpu
