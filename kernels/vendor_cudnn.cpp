#include "kernels/vendor_cudnn.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "core/check.h"
#include "core/cuda_check.h"
#include "core/work_graph.h"
#include "core/work_graph_cuda.h"
#include "kernels/cast.h"
#include "kernels/conv2d_taps.h"
#include "kernels/winograd_cuda.h"

namespace expunge::kernels::cuda {
namespace {

using cudnn::ConvEngine;
using cudnn::ConvPlan;
using cudnn::ConvProblem;

cudaStream_t handle(Stream stream) {
  return static_cast<cudaStream_t>(stream.cuda);
}

std::string device_name() {
  int device = 0;
  cudaDeviceProp properties{};
  check_cuda(cudaGetDevice(&device));
  check_cuda(cudaGetDeviceProperties(&properties, device));
  return properties.name;
}

cudnn::Descriptor device_of(cudnnHandle_t handle) {
  cudnn::Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set_one(CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, handle)
      .finalize("reading the device's properties");
  return device;
}

// A tensor of at least so many elements of the problem's type.
Tensor scratch(const ConvProblem& problem, int64_t elements, Stream stream) {
  const auto bytes = static_cast<size_t>(elements) * size_of(problem.type());
  return Tensor::zeros({static_cast<int64_t>(bytes + 3) / 4}, DType::f32, stream);
}

// Where our own read and write.
const float* of(const void* p) {
  return static_cast<const float*>(p);
}
float* to(const void* p) {
  return static_cast<float*>(const_cast<void*>(p));
}

void run_taps(Stream stream, const ConvProblem& problem, int64_t parts,
              const cudnn::ConvPointers& at, void* workspace) {
  const TapsWork work{problem.shape, parts, static_cast<float*>(workspace)};
  conv2d_taps_backward_weights(stream, work, {at.x, problem.type()}, {at.y, problem.type()},
                               problem.accumulates ? 1.0f : 0.0f, to(at.w));
}

void run_winograd(Stream stream, const ConvProblem& problem, int64_t images,
                  const cudnn::ConvPointers& at, void* workspace) {
  const float beta = problem.accumulates ? 1.0f : 0.0f;
  const WinogradWork work{problem.shape, images, workspace};
  switch (problem.pass) {
    case cudnn::ConvPass::forward:
      return winograd(stream, work, of(at.x), of(at.w), to(at.y));
    case cudnn::ConvPass::data:
      return winograd_backward_data(stream, work, of(at.y), of(at.w), beta, to(at.x));
    case cudnn::ConvPass::weights:
      return winograd_backward_weights(stream, work, of(at.x), of(at.y), beta, to(at.w));
  }
}

// cuDNN gives a gradient of weights in the type of its data: where it is wanted in f32 it is made
// behind what a plan works in.
int64_t weights(const ConvProblem& problem) {
  const Conv2dShape& s = problem.shape;
  return s.K * s.R * s.S * s.C;
}
int64_t narrow_at(const ConvPlan& plan) {
  constexpr int64_t kAligned = 256;
  return (plan.workspace() + kAligned - 1) / kAligned * kAligned;
}

int64_t workspace_bytes(const ConvProblem& problem, const ConvPlan& plan) {
  if (!problem.wide || plan.is_own()) return plan.workspace();
  return narrow_at(plan) + weights(problem) * static_cast<int64_t>(size_of(problem.type()));
}

// Marks in a stream, between which time is taken.
class Marks {
 public:
  Marks(Stream stream, int runs) : stream_(handle(stream)), events_(static_cast<size_t>(runs) + 1) {
    for (cudaEvent_t& event : events_) check_cuda(cudaEventCreate(&event));
  }
  ~Marks() {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Marks(const Marks&) = delete;

  // Milliseconds of the fastest of so many calls, behind another one: else the GPU would wait for
  // the host between two marks, and other processes might have it there. Of what takes long one run
  // is enough, noise does not decide about it.
  float fastest(FunctionRef<void()> call, int runs) const {
    constexpr float kLong = 5;
    const float once = fastest_of(1, call);
    return once < kLong ? std::min(once, fastest_of(runs, call)) : once;
  }

 private:
  float fastest_of(int runs, FunctionRef<void()> call) const {
    for (int i = 0; i <= runs; ++i) call(), check_cuda(cudaEventRecord(at(i), stream_));
    check_cuda(cudaEventSynchronize(at(runs)));
    float best = HUGE_VALF;
    for (int i = 0; i < runs; ++i) {
      float ms = 0;
      check_cuda(cudaEventElapsedTime(&ms, at(i), at(i + 1)));
      best = std::min(best, ms);
    }
    return best;
  }
  cudaEvent_t at(int k) const { return events_[static_cast<size_t>(k)]; }
  cudaStream_t stream_;
  std::vector<cudaEvent_t> events_;
};

}  // namespace

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ExitCode::device, "cuBLAS: {}: {}", what, cublasGetStatusString(status));
}

Vendor& Vendor::of(Stream stream) {
  // never destroyed: the driver may be gone before
  static auto& all = *new std::map<void*, std::unique_ptr<Vendor>>;
  std::unique_ptr<Vendor>& vendor = all[stream.cuda];
  if (vendor == nullptr) vendor.reset(new Vendor(stream));
  return *vendor;
}

Vendor::Vendor(Stream stream) : stream_(stream) {
  constexpr int64_t kCublasBytes = int64_t{32} << 20;  // what NVIDIA advises for Hopper
  cudnn::check_cudnn(cudnnCreate(&cudnn_), "creating a handle");
  cudnn::check_cudnn(cudnnSetStream(cudnn_, handle(stream)), "taking a stream");
  check_cublas(cublasCreate(&cublas_), "creating a handle");
  check_cublas(cublasSetStream(cublas_, handle(stream)), "taking a stream");
  // memory of its own makes the same product the same bits
  cublas_memory_ = Tensor({kCublasBytes / 4}, DType::f32, stream);
  check_cublas(cublasSetWorkspace(cublas_, cublas_memory_.bytes(), kCublasBytes),
               "taking its memory");
}

// One for all streams: they would write over each other's file. Never destroyed, as they are.
cudnn::ConvPlanBook& Vendor::book() {
  static auto& book = *new cudnn::ConvPlanBook(
      device_of(cudnn_), device_name(), cudnn::conv_plan_file(),
      [this](const ConvProblem& problem, const cudnn::ConvPlanBook::Plans& plans, int runs) {
        return milliseconds(problem, plans, runs);
      });
  return book;
}

Tensor Vendor::workspace(const ConvProblem& problem, const ConvPlan& plan) const {
  return Tensor({workspace_bytes(problem, plan)}, DType::u8, stream_);
}

// Of the plans that there is room for.
Tensor Vendor::largest_workspace(const ConvProblem& problem,
                                 const cudnn::ConvPlanBook::Plans& plans) const {
  std::vector<const ConvPlan*> left = plans;
  const auto bytes = [&](const ConvPlan* plan) { return workspace_bytes(problem, *plan); };
  std::ranges::sort(left, std::greater(), bytes);
  for (const ConvPlan* plan : left) {
    try {
      return workspace(problem, *plan);
    } catch (const Error& error) {
      if (error.code() != ExitCode::memory || plan == left.back()) throw;
    }
  }
  return {};
}

// On memory of its own: a run would change what is there. A run to load the kernels comes first.
// Plans are recorded, as steps are: some are many launches, and none may be what a step cannot
// record.
std::vector<double> Vendor::milliseconds(const ConvProblem& problem,
                                         const cudnn::ConvPlanBook::Plans& plans, int runs) {
  const Conv2dShape& s = problem.shape;
  EXPUNGE_CHECK(!cuda_is_recording(), "the plan of a convolution is looked for in a recorded step");
  check_cuda(cudaDeviceSynchronize());  // no other stream works meanwhile
  const PoolArea area;                  // as large as layers, and not needed again
  const PoolArea::Entered entered(area);
  const Tensor x = scratch(problem, s.N * s.H * s.W * s.C, stream_),
               w = Tensor::zeros({weights(problem)}, DType::f32, stream_),
               y = scratch(problem, s.N * s.P() * s.Q() * s.K, stream_);
  const Tensor memory = largest_workspace(problem, plans);
  const Marks marks(stream_, runs);
  std::vector<double> fastest;
  for (const ConvPlan* plan : plans) {
    const auto call = [&] {
      run(problem, *plan, {x.bytes(), w.bytes(), y.bytes()}, memory.bytes());
    };
    fastest.push_back(cudnn::ConvPlanBook::kNoRoom);
    if (workspace_bytes(problem, *plan) > memory.size()) continue;
    try {
      call();
      const WorkGraph recorded(stream_, call);
      fastest.back() = marks.fastest([&] { recorded.launch(); }, runs);
    } catch (const Error& error) {  // heuristics may propose what this device will not run
      if (error.code() == ExitCode::internal) throw;
      if (error.code() != ExitCode::memory) fastest.back() = HUGE_VAL;
      cudaGetLastError();
      if (cudaDeviceSynchronize() != cudaSuccess) throw;  // not the plan's fault alone
    }
  }
  return fastest;
}

void Vendor::convolve(const ConvProblem& problem, const cudnn::ConvPointers& at) {
  const ConvPlan& plan = book().at(problem);
  const Tensor memory = workspace(problem, plan);
  run(problem, plan, at, memory.bytes());
}

void Vendor::run(const ConvProblem& problem, const ConvPlan& plan, const cudnn::ConvPointers& at,
                 void* memory) {
  if (!plan.is_own()) {
    if (!problem.wide) return plan.run(cudnn_, at, memory);
    void* const narrow = static_cast<char*>(memory) + narrow_at(plan);
    plan.run(cudnn_, {at.x, narrow, at.y}, memory);
    const int64_t n = weights(problem);
    return cast(stream_, {1, n, n}, {narrow, problem.type()}, problem.accumulates ? 1.0f : 0.0f,
                to(at.w));
  }
  const ConvEngine& own = plan.engine();
  const auto run = own.index == ConvEngine::kTaps ? run_taps : run_winograd;
  run(stream_, problem, own.knobs.front().second, at, memory);
}

}  // namespace expunge::kernels::cuda
