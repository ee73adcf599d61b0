#include "core/memory_cuda.h"

#include <fmt/core.h>

#include <array>
#include <cstring>
#include <mutex>

#include "core/check.h"
#include "core/cuda_check.h"
#include "core/work_graph_cuda.h"

namespace expunge {
namespace {

cudaStream_t handle(Stream stream) {
  return static_cast<cudaStream_t>(stream.cuda);
}

// Pages of the host that the GPU copies from by itself: what was written into one is on its way
// while the host goes on. They are used in turn, each again when its last copy is over.
class SendingPages {
 public:
  static constexpr size_t kBytes = size_t{64} << 10;

  void send(cudaStream_t stream, void* to, const void* from, size_t bytes) {
    Page& page = pages_[next_++ % pages_.size()];
    if (page.bytes == nullptr) {
      check_cuda(cudaMallocHost(&page.bytes, kBytes));
      check_cuda(cudaEventCreateWithFlags(&page.sent, cudaEventDisableTiming));
    }
    check_cuda(cudaEventSynchronize(page.sent));
    std::memcpy(page.bytes, from, bytes);
    check_cuda(cudaMemcpyAsync(to, page.bytes, bytes, cudaMemcpyHostToDevice, stream));
    check_cuda(cudaEventRecord(page.sent, stream));
  }

 private:
  struct Page {
    void* bytes = nullptr;
    cudaEvent_t sent = nullptr;
  };
  std::array<Page, 32> pages_{};
  size_t next_ = 0;
};

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
  EXPUNGE_CHECK(!cuda_is_recording(),
                "{} bytes are sent by a recorded step: it would send these "
                "each time",
                bytes);
  static auto& pages = *new SendingPages;  // never destroyed: the driver may be gone before
  static std::mutex one_at_a_time;
  if (bytes <= SendingPages::kBytes) {
    const std::lock_guard lock(one_at_a_time);
    return pages.send(handle(stream), to, from, bytes);
  }
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

void cuda_settle(Stream stream) noexcept {
  if (!cuda_is_recording()) cudaStreamSynchronize(handle(stream));
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

Stream cuda_new_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return {.device = Device::cuda, .cuda = stream};
}

void* cuda_new_event() {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

void cuda_mark(Stream stream, void* event) {
  check_cuda(cudaEventRecord(static_cast<cudaEvent_t>(event), handle(stream)));
}

void cuda_wait_for(Stream stream, void* event) {
  check_cuda(cudaStreamWaitEvent(handle(stream), static_cast<cudaEvent_t>(event), 0));
}

void cuda_await(void* event) {
  check_cuda(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}

void* cuda_allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaMallocHost(&memory, bytes));
  return memory;
}

void cuda_release_pinned(void* memory, void* event) noexcept {
  cudaEventSynchronize(static_cast<cudaEvent_t>(event));
  cudaEventDestroy(static_cast<cudaEvent_t>(event));
  cudaFreeHost(memory);
}

void cuda_queue_download(Stream stream, void* pinned, const void* from, size_t bytes) {
  check_cuda(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, handle(stream)));
}

Stream cuda_open(int number) {
  if (const std::string problem = cuda_problem(number); !problem.empty())
    fail(ExitCode::device, "--device cuda:{}: {}", number, problem);
  check_cuda(cudaSetDevice(number));
  return cuda_new_stream();
}

}  // namespace expunge
