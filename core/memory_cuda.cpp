#include "core/memory_cuda.h"

#include <fmt/core.h>

#include "core/check.h"
#include "core/cuda_check.h"

namespace expunge {
namespace {

cudaStream_t handle(Stream stream) {
  return static_cast<cudaStream_t>(stream.cuda);
}

}  // namespace

void* cuda_allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is answered by our own sentence
    return nullptr;
  }
  check_cuda(error);
  return memory;
}

void cuda_release(void* memory) noexcept {
  cudaFree(memory);  // at the end of the program the driver may be gone already
}

void cuda_copy(Stream stream, void* to, const void* from, size_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle(stream)));
}

void cuda_upload(Stream stream, void* to, const void* from, size_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, handle(stream)));
  cuda_wait(stream);
}

void cuda_download(Stream stream, void* to, const void* from, size_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, handle(stream)));
  cuda_wait(stream);
}

void cuda_fill(Stream stream, void* to, int byte, size_t bytes) {
  check_cuda(cudaMemsetAsync(to, byte, bytes, handle(stream)));
}

void cuda_wait(Stream stream) {
  check_cuda(cudaStreamSynchronize(handle(stream)));
}

std::string cuda_problem(int number) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess)
    return fmt::format("CUDA says: {}", cudaGetErrorString(error));
  if (number >= count)
    return fmt::format("there {} {} GPU{}", count == 1 ? "is" : "are", count,
                       count == 1 ? "" : "s");
  return "";
}

std::string cuda_name(int number) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, number));
  return properties.name;
}

Stream cuda_open(int number) {
  if (const std::string problem = cuda_problem(number); !problem.empty())
    fail(ExitCode::device, "--device cuda:{}: {}", number, problem);
  check_cuda(cudaSetDevice(number));
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return {.device = Device::cuda, .cuda = stream};
}

}  // namespace expunge
