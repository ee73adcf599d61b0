#pragma once

#include <cublas_v2.h>

#include "core/tensor.h"
#include "kernels/conv_plan_book_cudnn.h"

namespace expunge::kernels::cuda {

// cuDNN's and cuBLAS's handles of a stream, made at its first use, with the memory that they work
// in: it only grows, and before a graph is captured a step has run.
class Vendor {
 public:
  static Vendor& of(Stream stream);

  void convolve(const cudnn::ConvProblem& problem, const cudnn::ConvPointers& at);
  cublasHandle_t cublas() const { return cublas_; }

 private:
  explicit Vendor(Stream stream);
  double milliseconds(const cudnn::ConvProblem& problem, const cudnn::ConvPlan& plan);
  void* workspace(int64_t bytes);

  Stream stream_;
  cudnnHandle_t cudnn_ = nullptr;
  cublasHandle_t cublas_ = nullptr;
  Tensor cublas_memory_, memory_;
  std::optional<cudnn::ConvPlanBook> book_;
};

void check_cublas(cublasStatus_t status, const char* what);

}  // namespace expunge::kernels::cuda
