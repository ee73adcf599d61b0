// Streams as queues. Lazy ones run where something waits for them, and then no further than asked:
// a result that is read without waiting is not there yet.
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "cuda_on_cpu/api.h"
#include "cuda_on_cpu/capture.h"
#include "cuda_on_cpu/device.h"
#include "cuda_on_cpu/queues.h"
#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/scheduler.h"

struct CUgraph_st : cuda_on_cpu::Captured {};

// In the order of its launches, which may still be queued.
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<std::function<void()>>> work;
};

namespace cuda_on_cpu {
namespace {

uint64_t queued = 0;

const Stream& default_stream() {
  static const Stream stream = std::make_shared<CUstream_st>();
  return stream;
}

std::vector<Stream>& streams() {  // the others
  static std::vector<Stream> all;
  return all;
}

void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice ||
                         (kind == cudaMemcpyDefault && is_device(to));
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice ||
                           (kind == cudaMemcpyDefault && is_device(from));
  if (bytes == 0) return;
  if (to_device) demand_device("copy to the device", to, bytes);
  if (from_device) demand_device("copy from the device", from, bytes);
  if (!to_device && is_device(to)) die("copy to the host: the target is device memory");
  if (!from_device && is_device(from)) die("copy from the host: the source is device memory");
  enqueue(stream, [=] { std::memmove(to, from, bytes); });
}

}  // namespace

Stream find(cudaStream_t stream) {
  if (stream == nullptr) return default_stream();
  for (const Stream& s : streams())
    if (s.get() == stream) return s;
  die("not a stream, or destroyed before");
}

void run_until(CUstream_st& stream, uint64_t place) {
  if (stream.capture) die("a stream is waited for while it is captured");
  if (stream.queue.empty() || stream.queue.front().place > place) return;
  const DeviceWork work;
  while (!stream.queue.empty() && stream.queue.front().place <= place) {
    const uint64_t here_now = stream.queue.front().place;
    if (&stream == default_stream().get()) {
      for (const Stream& s : streams())
        if (s->waits_for_default) run_until(*s, here_now);
    } else if (stream.waits_for_default) {
      run_until(*default_stream(), here_now);
    }
    const CUstream_st::Item item = std::move(stream.queue.front());
    stream.queue.pop_front();
    item.work();
  }
}

uint64_t last_queued() {
  return queued;
}

void enqueue(CUstream_st* stream, std::function<void()> work) {
  const Stream s = find(stream);
  if (s->capture) return s->capture.add(std::move(work));
  s->queue.push_back({++queued, std::move(work)});
  if (options().streams == Streams::eager) run_until(*s, queued);
}

bool is_captured(CUstream_st* stream) {
  return static_cast<bool>(find(stream)->capture);
}

void run_everything() {
  run_until(*default_stream(), queued);
  for (const Stream& s : streams()) run_until(*s, queued);
}

void submit(const Grid& grid, cudaStream_t stream) {
  const Lock lock(machine_lock());
  const auto name = [&] { return source_of(grid.kernel, Address::of_function); };
  const dim3 b = grid.blocks, t = grid.threads;
  const uint64_t threads = uint64_t{t.x} * t.y * t.z;
  if (threads == 0 || threads > kMostThreads || threads % kWarp != 0)
    die("launch: %llu threads a block, a multiple of %u up to %u expected, kernel %s",
        static_cast<unsigned long long>(threads), kWarp, kMostThreads, name().c_str());
  if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > 0x7fffffff || b.y > 65535 || b.z > 65535)
    die("launch: a grid of (%u,%u,%u) blocks, kernel %s", b.x, b.y, b.z, name().c_str());
  enqueue(stream, [grid] { run_grid(grid), takes(kLaunchTakes); });
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(machine_lock());
  copy(to, from, bytes, kind, stream);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const Lock lock(machine_lock());
  copy(to, from, bytes, kind, nullptr);
  return cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  const Lock lock(machine_lock());
  if (bytes == 0) return cudaSuccess;
  demand_device("cudaMemset", to, bytes);
  enqueue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}

cudaError_t cudaDeviceSynchronize() {
  const Lock lock(machine_lock());
  run_everything();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Lock lock(machine_lock());
  streams().push_back(std::make_shared<CUstream_st>());
  *stream = streams().back().get();
  (*stream)->waits_for_default = (flags & cudaStreamNonBlocking) == 0;
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(machine_lock());
  const Stream s = find(stream);
  run_until(*s, queued);
  std::erase(streams(), s);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(machine_lock());
  run_until(*find(stream), queued);
  return cudaSuccess;
}

// Asking again and again comes to an end: each time a piece of the work is done.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Lock lock(machine_lock());
  const Stream s = find(stream);
  if (s->queue.empty()) return cudaSuccess;
  run_until(*s, s->queue.front().place);
  return cudaErrorNotReady;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Lock lock(machine_lock());
  if (stream == nullptr) die("the default stream is captured");
  const Stream s = find(stream);
  if (s->capture) die("a stream is captured twice");
  s->capture.begin();
  return cudaSuccess;
}

// Of the stream that it began on; the others are free again too.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(machine_lock());
  const CapturePlace end = std::exchange(find(stream)->capture, {});
  if (!end) die("the end of a capture that did not begin");
  bool joined = true;
  for (const Stream& s : streams())
    if (s->capture.is_of(end)) joined = std::exchange(s->capture, {}).comes_before(end) && joined;
  const Captured& captured = end.end();
  *graph = joined ? new CUgraph_st{captured} : nullptr;
  return joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const bool late = options().streams == Streams::lazy;
  *exec = new CUgraphExec_st{std::make_shared<const std::vector<std::function<void()>>>(
      late ? graph->as_late_as_may_be() : graph->as_captured())};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Lock lock(machine_lock());
  enqueue(stream, [all = exec->work] {
    for (const auto& work : *all) work();
  });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
