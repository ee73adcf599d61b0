#include "tools/machine.h"

#include <charconv>
#include <string_view>

#include "core/check.h"
#include "core/memory_cuda.h"
#include "core/parallel.h"
#include "kernels/conv_algo.h"
#include "kernels/isa.h"
#include "kernels/precision.h"

namespace expunge::tools {
namespace {

kernels::Precision precision_of(const std::string& name) {
  if (name == "fp32") return kernels::Precision::fp32;
  if (compute_stream().device == Device::cpu)
    fail(ExitCode::device, "--precision {}: needs --device cuda; the CPU computes in fp32", name);
  if (name == "fp16") return kernels::Precision::fp16;
  return name == "tf32" ? kernels::Precision::tf32 : kernels::Precision::bf16;
}

int opened_gpu = 0;

}  // namespace

int gpu_number(const std::string& device) {
  if (device == "cpu" || device == "auto" || device == "cuda") return 0;
  constexpr std::string_view kPrefix = "cuda:";
  const std::string digits = device.starts_with(kPrefix) ? device.substr(kPrefix.size()) : "";
  const char* end = digits.data() + digits.size();
  int number = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || stop != end || number < 0)
    fail(ExitCode::usage, "--device is '{}', expected auto, cpu or cuda[:n]", device);
  return number;
}

Stream open_device(const std::string& device) {
  if (device == "cpu") return {};
  const int number = gpu_number(device);
  if constexpr (!kCudaBuild) {
    if (device == "auto") return {};
    fail(ExitCode::device, "--device {}: this build has no CUDA backend", device);
  } else {
    if (device == "auto" && (kCudaEmulated || !cuda_problem(0).empty())) return {};
    opened_gpu = number;
    return cuda_open(number);
  }
}

void apply_machine_options(const Settings& s) {
  set_compute_stream(open_device(s.text("device")));
  kernels::set_precision(precision_of(s.text("precision")));
  set_thread_count(static_cast<int>(s.integer("threads")));
  kernels::set_conv_algo(*kernels::conv_algo_of(s.text("conv-algo")));
}

std::string computed_with() {
  if constexpr (kCudaBuild)
    if (compute_stream().device == Device::cuda) return cuda_name(opened_gpu);
  return kernels::isa_name();
}

}  // namespace expunge::tools
