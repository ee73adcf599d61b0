#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// What the measurements share: checked calls, memory, event timing, one JSON line a measurement.
namespace expunge::gpu_bench {

inline void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                           cudaGetErrorString(status));
}
#define BENCH_CUDA(call) ::expunge::gpu_bench::check_cuda((call), #call, __FILE__, __LINE__)

inline int multiprocessors = 0;  // set by main
inline bool all_ok = true;

// printf into one line of JSON; `text` holds the fields after the name.
__attribute__((format(printf, 2, 3))) inline void emit(const std::string& name, const char* text,
                                                       ...) {
  std::printf("{\"name\": \"%s\", ", name.c_str());
  va_list arguments;
  va_start(arguments, text);
  std::vprintf(text, arguments);
  va_end(arguments);
  std::printf("}\n");
  std::fflush(stdout);
}

struct DeviceFree {
  void operator()(void* p) const { cudaFree(p); }
};
template <class T = float>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t n) : n_(n) {
    void* p = nullptr;
    BENCH_CUDA(cudaMalloc(&p, std::max<int64_t>(n, 1) * sizeof(T)));
    p_.reset(static_cast<T*>(p));
  }
  T* get() const { return p_.get(); }
  int64_t size() const { return n_; }

 private:
  std::unique_ptr<T, DeviceFree> p_;
  int64_t n_;
};

struct Event {
  Event() { BENCH_CUDA(cudaEventCreate(&event)); }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t event{};
};

struct Times {
  double median, p10, p90;  // microseconds of one launch
  int samples;
};

// Samples of `inner` launches each; everything is queued before the first wait, so that the host
// is ahead and no sample holds a launch gap of an idle GPU. launch(i) gets a running number, to
// rotate among sets of buffers.
template <class F>
Times time_launches(cudaStream_t stream, F launch, int samples = 20, int inner = 4) {
  int64_t number = 0;
  for (int i = 0; i < 4; ++i) launch(number++);
  BENCH_CUDA(cudaGetLastError());
  std::vector<std::unique_ptr<Event>> marks;
  for (int i = 0; i <= samples; ++i) marks.push_back(std::make_unique<Event>());
  BENCH_CUDA(cudaEventRecord(marks[0]->event, stream));
  for (int i = 0; i < samples; ++i) {
    for (int j = 0; j < inner; ++j) launch(number++);
    BENCH_CUDA(cudaEventRecord(marks[i + 1]->event, stream));
  }
  BENCH_CUDA(cudaGetLastError());
  BENCH_CUDA(cudaStreamSynchronize(stream));
  std::vector<double> us;
  for (int i = 0; i < samples; ++i) {
    float ms = 0;
    BENCH_CUDA(cudaEventElapsedTime(&ms, marks[i]->event, marks[i + 1]->event));
    us.push_back(1e3 * ms / inner);
  }
  std::sort(us.begin(), us.end());
  return {us[samples / 2], us[samples / 10], us[samples * 9 / 10], samples};
}

// Captures what `work` queues on the stream, and owns the graph.
class Graph {
 public:
  template <class F>
  Graph(cudaStream_t stream, F work) {
    cudaGraph_t graph{};
    BENCH_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    work();
    BENCH_CUDA(cudaStreamEndCapture(stream, &graph));
    const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
    cudaGraphDestroy(graph);
    BENCH_CUDA(status);
  }
  ~Graph() { cudaGraphExecDestroy(exec_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(cudaStream_t stream) const { BENCH_CUDA(cudaGraphLaunch(exec_, stream)); }

 private:
  cudaGraphExec_t exec_{};
};

// blocks_per_sm 0: a thread per vector of work.
inline int grid_size(int64_t work, int block, int blocks_per_sm) {
  const int64_t all = std::max<int64_t>((work + block - 1) / block, 1);
  if (blocks_per_sm == 0) return static_cast<int>(all);
  return static_cast<int>(
      std::min<int64_t>(all, static_cast<int64_t>(blocks_per_sm) * multiprocessors));
}

}  // namespace expunge::gpu_bench
