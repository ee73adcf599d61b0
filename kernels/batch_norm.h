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

// One batch, or two, of one C and one type, with ReLU or without: both of a joint pass
// (core/ctx.h), or of two batch norms whose outputs are added.
// Each gets what a call of its own would give it, on a GPU in the same launches. They may share
// running statistics, which see them in this order, and nothing else that is written.
inline constexpr int kMostBatches = 2;
template <class T>
struct Batches : std::span<const T> {
  // holds on to `one`, a temporary of the call
  Batches(const T& one) : std::span<const T>(&one, 1) {}  // NOLINT: one is as good as many
  explicit Batches(std::span<const T> all) : std::span<const T>(all) {}
};

// Max-pooling behind the ReLU, of windows of 2 x 2 pixels of images whose height and width are
// even: y and what has its shape are (pixels / 4, C) then, and nothing is added before the ReLU.
//   which (pixels / 4, C)   where in its window a maximum was, 2 row + column; the first of equals;
//                           NaN is the maximum
struct NormPool {
  int64_t width = 0;  // of the images; 0: no pooling
  uint8_t* which = nullptr;

  static constexpr int64_t kWindow = 4;  // pixels
  bool on() const { return width > 0; }
  int64_t outputs(int64_t pixels) const { return on() ? pixels / kWindow : pixels; }
};

// What normalises a channel: mean and invstd = 1/sqrt(var + eps), (C) each, and
//   line ({a, b}, C):   gamma xhat + beta = a x + b
// here of x. Where running statistics are given:
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
  const float *gamma, *beta;
  float *mean, *invstd, *line;
};
void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of);

// Of statistics that are known, for evaluation.
struct BatchNormKnown {
  int64_t C;
  const float *mean, *var;
  float eps;
  const float *gamma, *beta;
  float *invstd, *line;
};
void batch_norm_known(Stream stream, const BatchNormKnown& of);

// y may be x, but where it is pooled; pool.which may be null. residual_line ({a, b}, C): of a
// residual that is normalised itself; what is added is a r + b, in the type of r.
struct BatchNormApply {
  BatchNormShape shape;
  ConstValues x;
  const float* line;
  ConstValues residual;
  Values y;
  NormPool pool{};
  const float* residual_line = nullptr;
};
void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of);

// The gradient that reaches the sum before the ReLU: g = dy [y > 0] where relu, otherwise dy. y may
// be null where there was no residual: it is computed from x again, to the same bit. Pooled, it is
// null, and dy counts where the maxima were.
struct BatchNormGradient {
  BatchNormShape shape;
  ConstValues x, y, dy;
  const float *mean, *invstd, *line;
  NormPool pool{};
};

// Of all rows, or of some where x, y and dy point to them:
//   sum_g[c] = sum g,   sum_gx[c] = sum g xhat       (C) doubles each: dbeta and dgamma of these
//   rows
struct BatchNormSums {
  BatchNormGradient in;
  double *sum_g, *sum_gx;
};
void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of);

// dx = beta dx + gamma invstd (g - [sum g + xhat sum g xhat] / pixels); the bracket only with batch
// statistics. dresidual = beta_residual dresidual + g. dgamma = beta_gamma dgamma + sum g xhat,
// dbeta likewise + sum g. Any output may be null.
struct BatchNormBackward {
  BatchNormGradient in;
  const float* gamma;
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

// The same on a GPU (batch_norm.cu, batch_norm_pool.cu, batch_norm_sums.cu), with memory to work
// in, of as many bytes as the first three say. x, y and what has their shape, mean and line: on
// multiples of 16 bytes where C is one of what 16 bytes hold.
namespace cuda {

size_t statistics_workspace(const Batches<BatchNormStatistics>& of);
size_t sums_workspace(const Batches<BatchNormSums>& of);
size_t backward_workspace(const Batches<BatchNormBackward>& of);
void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of, void* workspace);
void batch_norm_known(Stream stream, const BatchNormKnown& of);
void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of);
void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of, void* workspace);
void batch_norm_backward(Stream stream, const Batches<BatchNormBackward>& of, void* workspace);

}  // namespace cuda

}  // namespace expunge::kernels
