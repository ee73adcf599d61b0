#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/device.h"
#include "core/dtype.h"

// Batch norm over the last dimension (Ioffe & Szegedy 2015), fused with a residual add and ReLU:
//   xhat = (x - mean) / sqrt(var + eps)     mean, biased var over the `pixels` rows
//   y = relu(gamma xhat + beta + residual)  residual and relu optional
// x, y, residual and their gradients are of one type: f32, or on a GPU bf16 or f16.
namespace expunge::kernels {

struct BatchNormShape {
  int64_t pixels, C;  // x, y, residual: (pixels, C)
  bool relu = false;
};

// One batch, or both of a joint pass (core/ctx.h), of one C and one type, with ReLU or without:
// each gets what a call of its own would give it, on a GPU in the same launches. They may share
// running statistics, which see them in this order, and nothing else that is written.
inline constexpr int kMostBatches = 2;
template <class T>
struct Batches : std::span<const T> {
  // holds on to `one`, a temporary of the call
  Batches(const T& one) : std::span<const T>(&one, 1) {}  // NOLINT: one is as good as many
  explicit Batches(std::span<const T> all) : std::span<const T>(all) {}
};

// mean and invstd = 1/sqrt(var + eps) of x: (C) each. Where running statistics are given:
//   running <- (1 - momentum) running + momentum batch, with the unbiased variance, as PyTorch
//   does.
struct RunningStatistics {
  float* mean = nullptr;
  float* var = nullptr;
  float momentum = 0.1f;
};
struct BatchNormStatistics {
  BatchNormShape shape;
  ConstValues x;
  float eps;
  RunningStatistics running;
  float *mean, *invstd;
};
void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of);

// invstd of a variance, of evaluation: (C) each
void batch_norm_invstd(Stream stream, int64_t C, const float* var, float eps, float* invstd);

// y may be x.
struct NormParameters {
  const float *mean, *invstd, *gamma, *beta;  // (C) each
};
struct BatchNormApply {
  BatchNormShape shape;
  ConstValues x;
  NormParameters parameters;
  ConstValues residual;
  Values y;
};
void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of);

// On the CPU: line ({a, b}, C) of gamma xhat + beta = a x + b
void norm_lines(int64_t C, const NormParameters& parameters, float* line);

// The gradient that reaches the sum: g = dy [y > 0] where relu, otherwise dy. Of all rows, or of
// some where x, y and dy point to them:
//   sum_g[c] = sum g,   sum_gx[c] = sum g xhat       (C) doubles each: dbeta and dgamma of these
//   rows
struct BatchNormSums {
  BatchNormShape shape;
  ConstValues x, y, dy;
  const float *mean, *invstd;
  double *sum_g, *sum_gx;
};
void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of);

// dx = beta dx + gamma invstd (g - [sum_g + xhat sum_gx] / pixels); the bracket only with batch
// statistics. dresidual = beta_residual dresidual + g. dgamma = beta_gamma dgamma + sum_gx, dbeta
// likewise + sum_g. Any output may be null.
struct BatchNormBackward {
  BatchNormShape shape;
  ConstValues x, y, dy;
  const float *mean, *invstd, *gamma;
  const double *sum_g, *sum_gx;
  bool batch;  // batch statistics, which depend on x, were used
  float beta_dx = 0;
  Values dx{};
  float beta_residual = 0;
  Values dresidual{};
  float beta_gamma = 0;
  float* dgamma = nullptr;
  float beta_beta = 0;
  float* dbeta = nullptr;
};
void batch_norm_backward(Stream stream, const Batches<BatchNormBackward>& of);

// The same on a GPU (batch_norm.cu), with memory to work in: bytes as the first two say; slopes:
// (batches, 3, C). x, y and what has their shape: on multiples of 16 bytes
// where C is one of what 16 bytes hold.
namespace cuda {

size_t statistics_workspace(const Batches<BatchNormStatistics>& of);
size_t sums_workspace(const Batches<BatchNormSums>& of);
void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of, void* workspace);
void batch_norm_invstd(Stream stream, int64_t C, const float* var, float eps, float* invstd);
void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of);
void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of, void* workspace);
void batch_norm_backward(Stream stream, const Batches<BatchNormBackward>& of, float* slopes);

}  // namespace cuda

}  // namespace expunge::kernels
