#pragma once

#include <cublas_v2.h>

#include "core/tensor.h"
#include "kernels/conv_plan_book_cudnn.h"

namespace expunge::kernels::cuda {

// cuDNN's and cuBLAS's handles of a stream, made at its first use. cuBLAS has memory of its own for
// good; what a plan works in comes from the pool for each call, so that a graph that is
// being recorded has it to itself.
class Vendor {
 public:
  static Vendor& of(Stream stream);

  void convolve(const cudnn::ConvProblem& problem, const cudnn::ConvPointers& at);
  cublasHandle_t cublas() const { return cublas_; }

 private:
  explicit Vendor(Stream stream);
  cudnn::ConvPlanBook& book();
  std::vector<double> milliseconds(const cudnn::ConvProblem& problem,
                                   const cudnn::ConvPlanBook::Plans& plans, int runs);
  Tensor workspace(const cudnn::ConvProblem& problem, const cudnn::ConvPlan& plan) const;
  Tensor largest_workspace(const cudnn::ConvProblem& problem,
                           const cudnn::ConvPlanBook::Plans& plans) const;
  void run(const cudnn::ConvProblem& problem, const cudnn::ConvPlan& plan,
           const cudnn::ConvPointers& at, void* memory);

  Stream stream_;
  cudnnHandle_t cudnn_ = nullptr;
  cublasHandle_t cublas_ = nullptr;
  Tensor cublas_memory_;
};

void check_cublas(cublasStatus_t status, const char* what);

}  // namespace expunge::kernels::cuda
