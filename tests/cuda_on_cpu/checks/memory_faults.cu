// Memory that is not there, not the device's, not aligned, not ready; launches that CUDA would
// refuse.
#include <cmath>

#include "cuda/device_array.h"
#include "cuda_on_cpu/checks/faults.h"
#include "kernels/launch.h"

namespace expunge::test {
namespace {

using kernels::launch;
constexpr Stream kStream{.device = Device::cuda};
constexpr size_t kN = 100;

__global__ void copy_kernel(int n, const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i];
}
bool copies(const DeviceArray<float>& x, int n, const DeviceArray<float>& y) {
  launch(copy_kernel, 4, 32, 0, kStream, n, x.data(), y.data());
  return y.values()[0] == 1;
}
bool read_behind_the_end() {
  return copies(DeviceArray<float>(std::vector<float>(kN, 1)), kN + 1, DeviceArray<float>(kN + 1));
}
bool write_behind_the_end() {
  return copies(DeviceArray<float>(std::vector<float>(kN + 1, 1)), kN + 1, DeviceArray<float>(kN));
}

__global__ void before_kernel(float* y) {
  y[static_cast<int>(threadIdx.x) - 1] = 1;
}
bool write_before_the_start() {
  const DeviceArray<float> y(kN);
  launch(before_kernel, 1, 32, 0, kStream, y.data());
  return y.values()[0] == 1;
}

__global__ void shared_kernel(int n, float* y) {
  KERNEL_SHARED(float, s, 33);
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) s[i] = 1;
  __syncthreads();
  if (i == 0) *y = s[0];
}
bool shared_array_too_short() {
  const DeviceArray<float> y(1);
  launch(shared_kernel, 1, 64, 0, kStream, 34, y.data());
  return y.values()[0] == 1;
}

__global__ void dynamic_kernel(float* y) {
  KERNEL_DYN_SHARED(float, s);
  s[threadIdx.x] = 1;
  y[threadIdx.x] = s[threadIdx.x];
}
template <size_t kBytes>
bool dynamic_shared() {
  const DeviceArray<float> y(64);
  launch(dynamic_kernel, 1, 64, kBytes, kStream, y.data());
  return y.values()[0] == 1;
}

__global__ void both_shared_kernel(float* y) {
  KERNEL_DYN_SHARED(float, s);
  KERNEL_SHARED(float, t, 64);
  s[threadIdx.x] = t[threadIdx.x] = 1;
  y[threadIdx.x] = s[threadIdx.x] + t[threadIdx.x];
}
// As much as a launch may have, and an array more.
bool too_much_shared() {
  const DeviceArray<float> y(64);
  launch(both_shared_kernel, 1, 64, cuda_on_cpu::kMostShared, kStream, y.data());
  return y.values()[0] == 2;
}

__global__ void unset_shared_kernel(float* y) {
  KERNEL_SHARED(float, s, 32);
  if (threadIdx.x < 31) s[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) *y = s[30] + s[31];
}
bool shared_memory_never_set() {
  const DeviceArray<float> y(1);
  launch(unset_shared_kernel, 1, 32, 0, kStream, y.data());
  return !std::isnan(y.values()[0]);
}
bool device_memory_never_set() {
  const DeviceArray<float> x(kN), y(kN);
  launch(copy_kernel, 4, 32, 0, kStream, int{kN}, x.data(), y.data());
  return !std::isnan(y.values()[0]);
}

__global__ void vector_kernel(const float4* x, float* y) {
  const float4 v = x[threadIdx.x];
  y[threadIdx.x] = v.x + v.y + v.z + v.w;
}
bool misaligned_vector() {
  const DeviceArray<float> x(std::vector<float>(4 * 32 + 1, 1)), y(32);
  launch(vector_kernel, 1, 32, 0, kStream, reinterpret_cast<const float4*>(x.data() + 1), y.data());
  return y.values()[0] == 4;
}
__global__ void double_kernel(const double* x, double* y) {
  y[threadIdx.x] = x[threadIdx.x];
}
bool misaligned_double() {
  const DeviceArray<float> x(std::vector<float>(2 * 32 + 1, 1));
  const DeviceArray<double> y(32);
  launch(double_kernel, 1, 32, 0, kStream, reinterpret_cast<const double*>(x.data() + 1), y.data());
  return y.values()[0] > 0;
}

bool host_pointer() {
  const std::vector<float> x(kN, 1);
  const DeviceArray<float> y(kN);
  launch(copy_kernel, 4, 32, 0, kStream, int{kN}, x.data(), y.data());
  return y.values()[0] == 1;
}
struct Buffers {
  const float* x;
  float* y;
};
__global__ void struct_kernel(Buffers b) {
  b.y[threadIdx.x] = b.x[threadIdx.x];
}
bool host_pointer_in_a_struct() {
  const std::vector<float> x(kN, 1);
  const DeviceArray<float> y(kN);
  launch(struct_kernel, 1, 32, 0, kStream, Buffers{x.data(), y.data()});
  return y.values()[0] == 1;
}
bool device_pointer_on_the_host() {
  const DeviceArray<float> x(std::vector<float>(kN, 1));
  return *x.data() == 1;
}

bool device_pointer_after_others_came_and_went() {
  const DeviceArray<float> x(std::vector<float>(kN, 1));
  for (int i = 0; i < 80; ++i) const DeviceArray<float> gone(size_t{1} << 18);
  return *x.data() == 1;
}

bool result_read_before_it_is_there() {
  const DeviceArray<float> x(std::vector<float>(kN, 1)), y(std::vector<float>(kN, 0));
  std::vector<float> host(kN, 0);
  launch(copy_kernel, 4, 32, 0, kStream, int{kN}, x.data(), y.data());
  check_cuda(
      cudaMemcpyAsync(host.data(), y.data(), kN * sizeof(float), cudaMemcpyDeviceToHost, nullptr));
  const bool right = host[0] == 1;  // no cudaStreamSynchronize before
  check_cuda(cudaDeviceSynchronize());
  return right;
}
bool other_stream_not_waited_for() {
  const DeviceArray<float> x(std::vector<float>(kN, 1)), y(std::vector<float>(kN, 0)),
      z(std::vector<float>(kN, 0));
  cudaStream_t one = nullptr, two = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking));
  check_cuda(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
  launch(copy_kernel, 4, 32, 0, Stream{Device::cuda, one}, int{kN}, x.data(), y.data());
  launch(copy_kernel, 4, 32, 0, Stream{Device::cuda, two}, int{kN}, y.data(),
         z.data());  // no event
  check_cuda(cudaStreamSynchronize(two));
  check_cuda(cudaStreamSynchronize(one));
  const bool right = z.values()[0] == 1;
  check_cuda(cudaStreamDestroy(one));
  check_cuda(cudaStreamDestroy(two));
  return right;
}

bool used_after_free() {
  float* x = nullptr;
  check_cuda(cudaMalloc(&x, kN * sizeof(float)));
  check_cuda(cudaFree(x));
  const DeviceArray<float> y(std::vector<float>(kN, 1));
  launch(struct_kernel, 1, 32, 0, kStream, Buffers{y.data(), x});
  check_cuda(cudaDeviceSynchronize());
  return true;
}
bool freed_twice() {
  float* x = nullptr;
  check_cuda(cudaMalloc(&x, kN * sizeof(float)));
  check_cuda(cudaFree(x));
  check_cuda(cudaFree(x));
  return true;
}
bool copy_of_more_than_there_is() {
  const DeviceArray<float> x(kN);
  const std::vector<float> host(kN + 1);
  check_cuda(cudaMemcpy(x.data(), host.data(), (kN + 1) * sizeof(float), cudaMemcpyHostToDevice));
  return true;
}
bool copy_the_wrong_way() {
  const DeviceArray<float> x(kN);
  std::vector<float> host(kN);
  check_cuda(cudaMemcpy(host.data(), x.data(), kN * sizeof(float), cudaMemcpyHostToDevice));
  return true;
}

template <unsigned kBlocks, unsigned kThreads>
bool launch_of() {
  const DeviceArray<float> x(std::vector<float>(kN, 1)), y(kN);
  launch(copy_kernel, kBlocks, kThreads, 0, kStream, int{kN}, x.data(), y.data());
  return true;
}

}  // namespace

std::span<const Fault> memory_faults() {
  static constexpr const char *kWrong = "wrong result", *kOverflow = "AddressSanitizer",
                              *kNeither = "which is neither device nor shared memory, at",
                              *kHost = "is a host pointer, kernel",
                              *kClosed = "host code touches device memory at";
  static constexpr Fault all[] = {
      {"read behind the end", read_behind_the_end, nullptr, kOverflow, kNeither},
      {"write behind the end", write_behind_the_end, "bytes was written 1 bytes behind its end",
       kOverflow, kNeither},
      {"write before the start", write_before_the_start, "bytes before an allocation", kOverflow,
       kNeither},
      {"shared array too short", shared_array_too_short, nullptr, "index 33 out of bounds",
       kNeither},
      {"shared memory of the launch too short", dynamic_shared<32 * sizeof(float)>, nullptr,
       kOverflow, kNeither},
      {"shared memory of the launch forgotten", dynamic_shared<0>, "its launch gives 0 bytes",
       "its launch gives 0 bytes", "its launch gives 0 bytes"},
      {"more shared memory than a block has", too_much_shared, "bytes of shared memory, at most",
       "bytes of shared memory, at most", "bytes of shared memory, at most"},
      {"shared memory never set", shared_memory_never_set, kWrong, kWrong, kWrong},
      {"device memory never set", device_memory_never_set, kWrong, kWrong, kWrong},
      {"misaligned vector", misaligned_vector, nullptr, "misaligned address", nullptr},
      {"misaligned double", misaligned_double, nullptr, "misaligned address",
       "which is misaligned"},
      {"host pointer", host_pointer, kHost, kHost, kHost},
      {"host pointer in a struct", host_pointer_in_a_struct, nullptr, nullptr, kNeither},
      {"device pointer on the host", device_pointer_on_the_host, kClosed, "use-after-poison",
       kClosed},
      {"device pointer after others came and went", device_pointer_after_others_came_and_went,
       kClosed, "use-after-poison", kClosed},
      {"result read before it is there", result_read_before_it_is_there, kWrong, kWrong, kWrong},
      {"other stream not waited for", other_stream_not_waited_for, kWrong, kWrong, kWrong},
      {"used after free", used_after_free, nullptr, kOverflow, kNeither},
      {"freed twice", freed_twice, "not the start of an allocation",
       "not the start of an allocation", "not the start of an allocation"},
      {"copy of more than there is", copy_of_more_than_there_is, "more than the allocation has",
       "more than the allocation has", "more than the allocation has"},
      {"copy the wrong way", copy_the_wrong_way, "is not device memory", "is not device memory",
       "is not device memory"},
      {"threads not a multiple of 32", launch_of<1, 100>, "100 threads a block",
       "100 threads a block", "100 threads a block"},
      {"too many threads", launch_of<1, 2048>, "2048 threads a block", "2048 threads a block",
       "2048 threads a block"},
      {"empty grid", launch_of<0, 32>, "a grid of (0,1,1) blocks", "a grid of (0,1,1) blocks",
       "a grid of (0,1,1) blocks"},
  };
  return all;
}

}  // namespace expunge::test
