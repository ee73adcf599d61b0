// Streams and events of the machine, lazy and eager. On a GPU the same calls take their course, so
// these tests are for the machine alone.
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include "cuda/device_array.h"
#include "cuda_on_cpu/checks/right.h"
#include "cuda_on_cpu/machine_side.h"

namespace expunge::test {
namespace {

using cuda_on_cpu::options;
using cuda_on_cpu::Streams;

constexpr int kN = 100;
constexpr size_t kBytes = kN * sizeof(float);

struct StreamPair {
  cudaStream_t one = nullptr, two = nullptr;
  explicit StreamPair(unsigned flags) {
    check_cuda(cudaStreamCreateWithFlags(&one, flags));
    check_cuda(cudaStreamCreateWithFlags(&two, flags));
  }
  ~StreamPair() { cudaStreamDestroy(one), cudaStreamDestroy(two); }
  StreamPair(const StreamPair&) = delete;
  StreamPair& operator=(const StreamPair&) = delete;
};

class With {
 public:
  explicit With(Streams streams) : before_(options().streams) { options().streams = streams; }
  ~With() { options().streams = before_; }
  With(const With&) = delete;
  With& operator=(const With&) = delete;

 private:
  Streams before_;
};

void copy_back(std::vector<float>& to, const DeviceArray<float>& from, cudaStream_t stream) {
  check_cuda(cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToHost, stream));
}

}  // namespace

TEST_CASE("streams: lazy work is done when waited for, eager work at once") {
  for (Streams way : {Streams::lazy, Streams::eager}) {
    const With with(way);
    const DeviceArray<float> x(std::vector<float>(kN, 1));
    std::vector<float> host(kN, 0);
    twice_and_one({Device::cuda, nullptr}, kN, x.data(), 1);
    copy_back(host, x, nullptr);
    CHECK(host[5] == (way == Streams::eager ? 3 : 0));
    check_cuda(cudaStreamSynchronize(nullptr));
    CHECK(host[5] == 3);
  }
}

TEST_CASE("streams: an event makes one stream wait for the other, up to where it was recorded") {
  for (Streams way : {Streams::lazy, Streams::eager}) {
    const With with(way);
    const StreamPair s(cudaStreamNonBlocking);
    const DeviceArray<float> x(std::vector<float>(kN, 1));
    std::vector<float> host(kN, 0);
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreate(&event));
    twice_and_one({Device::cuda, s.one}, kN, x.data(), 1);
    check_cuda(cudaEventRecord(event, s.one));
    check_cuda(cudaStreamWaitEvent(s.two, event));
    copy_back(host, x, s.two);
    if (way == Streams::lazy) twice_and_one({Device::cuda, s.one}, kN, x.data(), 1);
    check_cuda(cudaStreamSynchronize(s.two));
    CHECK(host[5] == 3);
    check_cuda(cudaEventDestroy(event));
  }
}

TEST_CASE("streams: in a graph forked work is done where it is waited for, or as it was captured") {
  for (Streams way : {Streams::lazy, Streams::eager}) {
    for (const bool waits : {true, false}) {
      const With with(way);
      const StreamPair s(cudaStreamNonBlocking);
      const DeviceArray<float> x(std::vector<float>(kN, 1)), y(std::vector<float>(kN, 0));
      cudaEvent_t forked = nullptr, done = nullptr;
      check_cuda(cudaEventCreate(&forked));
      check_cuda(cudaEventCreate(&done));
      check_cuda(cudaStreamBeginCapture(s.one, cudaStreamCaptureModeRelaxed));
      check_cuda(cudaEventRecord(forked, s.one));
      check_cuda(cudaStreamWaitEvent(s.two, forked));
      twice_and_one({Device::cuda, s.two}, kN, x.data(), 1);
      check_cuda(cudaEventRecord(done, s.two));
      if (waits) check_cuda(cudaStreamWaitEvent(s.one, done));
      check_cuda(cudaMemcpyAsync(y.data(), x.data(), kBytes, cudaMemcpyDeviceToDevice, s.one));
      if (!waits) check_cuda(cudaStreamWaitEvent(s.one, done));  // too late
      cudaGraph_t graph = nullptr;
      check_cuda(cudaStreamEndCapture(s.one, &graph));
      cudaGraphExec_t exec = nullptr;
      check_cuda(cudaGraphInstantiate(&exec, graph, 0));
      for (const float now : {3.0f, 7.0f}) {
        check_cuda(cudaGraphLaunch(exec, s.one));
        check_cuda(cudaStreamSynchronize(s.one));
        CHECK(x.values()[5] == now);
        CHECK(y.values()[5] == (waits || way == Streams::eager ? now : (now - 1) / 2));
      }
      check_cuda(cudaGraphExecDestroy(exec));
      check_cuda(cudaGraphDestroy(graph));
      check_cuda(cudaEventDestroy(forked));
      check_cuda(cudaEventDestroy(done));
    }
  }
}

TEST_CASE("streams: a capture that leaves a forked stream behind is none") {
  const StreamPair s(cudaStreamNonBlocking);
  const DeviceArray<float> x(std::vector<float>(kN, 1));
  cudaEvent_t forked = nullptr;
  check_cuda(cudaEventCreate(&forked));
  check_cuda(cudaStreamBeginCapture(s.one, cudaStreamCaptureModeRelaxed));
  check_cuda(cudaEventRecord(forked, s.one));
  check_cuda(cudaStreamWaitEvent(s.two, forked));
  twice_and_one({Device::cuda, s.two}, kN, x.data(), 1);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(s.one, &graph) == cudaErrorStreamCaptureUnjoined);
  CHECK(graph == nullptr);
  twice_and_one({Device::cuda, s.two}, kN, x.data(), 1);  // both are free
  check_cuda(cudaStreamSynchronize(s.two));
  CHECK(x.values()[5] == 3);
  check_cuda(cudaEventDestroy(forked));
}

TEST_CASE("streams: the default stream and the others wait for each other") {
  const With with(Streams::lazy);
  const StreamPair s(cudaStreamDefault);
  const DeviceArray<float> x(std::vector<float>(kN, 1));
  std::vector<float> host(kN, 0);
  twice_and_one({Device::cuda, s.one}, kN, x.data(), 1);
  twice_and_one({Device::cuda, nullptr}, kN, x.data(), 1);
  copy_back(host, x, s.two);
  check_cuda(cudaStreamSynchronize(s.two));
  CHECK(host[5] == 7);
}

TEST_CASE("streams: polling comes to an end; events tell what is done") {
  const With with(Streams::lazy);
  const StreamPair s(cudaStreamNonBlocking);
  const DeviceArray<float> x(std::vector<float>(kN, 1));
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreate(&event));
  CHECK(cudaEventQuery(event) == cudaSuccess);  // never recorded
  twice_and_one({Device::cuda, s.one}, kN, x.data(), 3);
  check_cuda(cudaEventRecord(event, s.one));
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  int asked = 0;
  while (cudaStreamQuery(s.one) == cudaErrorNotReady) ++asked;
  CHECK(asked > 0);
  CHECK(cudaEventQuery(event) == cudaSuccess);
  CHECK(x.values()[5] == 15);
  check_cuda(cudaEventDestroy(event));
}

TEST_CASE("streams: memory freed in a stream lives until its turn; page-locked memory; memset") {
  const With with(Streams::lazy);
  const StreamPair s(cudaStreamNonBlocking);
  void *p = nullptr, *locked = nullptr;
  check_cuda(cudaMallocAsync(&p, kBytes, s.one));
  check_cuda(cudaMallocHost(&locked, kBytes));
  auto *x = static_cast<float*>(p), *host = static_cast<float*>(locked);
  check_cuda(cudaMemsetAsync(x, 0, kBytes, s.one));
  twice_and_one({Device::cuda, s.one}, kN, x, 2);
  check_cuda(cudaMemcpyAsync(host, x, kBytes, cudaMemcpyDefault, s.one));
  check_cuda(cudaFreeAsync(x, s.one));
  check_cuda(cudaStreamSynchronize(s.one));
  CHECK(host[99] == 3);
  twice_and_one({Device::cuda, s.one}, kN, host, 1);  // kernels may touch it
  check_cuda(cudaStreamSynchronize(s.one));
  CHECK(host[99] == 7);
  check_cuda(cudaFreeHost(locked));
}

}  // namespace expunge::test
