// Events: places in streams, each with the machine's time at which the stream came there.
#include <memory>
#include <optional>

#include "cuda_on_cpu/api.h"
#include "cuda_on_cpu/capture.h"
#include "cuda_on_cpu/device.h"
#include "cuda_on_cpu/queues.h"
#include "cuda_on_cpu/report.h"

struct CUevent_st {
  cuda_on_cpu::Stream stream{};  // null: not recorded
  uint64_t place = 0;
  cuda_on_cpu::CapturePlace capture{};  // recorded while its stream was captured
  std::shared_ptr<std::optional<double>> reached_at{};
  bool has_time = true;
};

namespace cuda_on_cpu {
namespace {

double clock_ms = 0;

}  // namespace

void takes(double milliseconds) {
  clock_ms += milliseconds;
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(machine_lock());
  const Stream s = find(stream);
  if (event->capture) {  // the stream takes part from here on, if it did not
    s->capture.join(event->capture);
  } else if (event->stream != nullptr) {
    if (s->capture) die("a stream that is captured waits for an event from outside");
    enqueue(stream, [e = *event] { run_until(*e.stream, e.place); });
  }
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{.has_time = (flags & cudaEventDisableTiming) == 0};
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock(machine_lock());
  const Stream s = find(stream);
  event->capture = s->capture;
  if (s->capture) return cudaSuccess;
  event->reached_at = std::make_shared<std::optional<double>>();
  // a piece of work of its own: it waits as its stream does
  enqueue(stream, [at = event->reached_at] { *at = clock_ms; });
  event->stream = s;
  event->place = last_queued();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(machine_lock());
  if (event->capture) die("an event of a capture is waited for by the host");
  if (event->stream != nullptr) run_until(*event->stream, event->place);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(machine_lock());
  if (event->capture) die("an event of a capture is asked for");
  if (event->stream == nullptr) return cudaSuccess;
  const auto& queue = event->stream->queue;
  if (queue.empty() || queue.front().place > event->place) return cudaSuccess;
  run_until(*event->stream, queue.front().place);
  return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(machine_lock());
  for (const cudaEvent_t event : {from, to}) {
    if (!event->has_time || event->capture || !event->reached_at)
      die("time between events: of one that has none");
    if (!*event->reached_at) return cudaErrorNotReady;
  }
  *milliseconds = static_cast<float>(**to->reached_at - **from->reached_at);
  return cudaSuccess;
}
