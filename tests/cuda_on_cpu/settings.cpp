// The settings of a run, and what of the runtime library is the same always.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cuda_on_cpu/api.h"
#include "cuda_on_cpu/asan.h"
#include "cuda_on_cpu/report.h"

namespace cuda_on_cpu {
namespace {

std::string_view setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Options from_environment() {
  Options o;
  const std::string_view order = setting("EXPUNGE_CUDA_ORDER");
  if (order == "descending")
    o.order = Order::descending;
  else if (order == "shuffled")
    o.order = Order::shuffled;
  else if (!order.empty() && order != "ascending")
    die("EXPUNGE_CUDA_ORDER: expected ascending, descending or shuffled");
  const std::string_view streams = setting("EXPUNGE_CUDA_STREAMS");
  if (streams == "eager")
    o.streams = Streams::eager;
  else if (!streams.empty() && streams != "lazy")
    die("EXPUNGE_CUDA_STREAMS: expected eager or lazy");
  if (const char* seed = std::getenv("EXPUNGE_CUDA_SEED"); seed != nullptr && *seed != '\0')
    o.seed = std::strtoull(seed, nullptr, 10);
  o.skip = std::getenv("EXPUNGE_CUDA_SKIP");
  if (const char* mb = std::getenv("EXPUNGE_CUDA_CLOSED"); mb != nullptr && *mb != '\0')
    o.closed_mb = std::strtoull(mb, nullptr, 10);
  if (const char* mb = std::getenv("EXPUNGE_CUDA_MEMORY"); mb != nullptr && *mb != '\0')
    o.memory_mb = std::strtoull(mb, nullptr, 10);
  return o;
}

}  // namespace

Options& options() {
  static Options all = from_environment();
  return all;
}

Build build() {
#if defined(CUDA_ON_CPU_ASAN)
  return Build::sanitized;
#elif defined(CUDA_ON_CPU_RACE)
  return Build::race;
#else
  return Build::plain;
#endif
}

}  // namespace cuda_on_cpu

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
  }
  return "?";
}

const char* cudaGetErrorString(cudaError_t error) {
  return cudaGetErrorName(error);
}

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError() {
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"cuda_on_cpu"};
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device != 0) cuda_on_cpu::die("cudaSetDevice(%d): there is device 0 only", device);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
