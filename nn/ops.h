#pragma once

#include <initializer_list>

#include "core/ctx.h"

// Every differentiable operation. Forward and gradient stand together in ops/<op>.cpp. Activations
// are (N, H, W, C); convolution weights (K, R, S, C); a value is recorded only where ctx has a
// tape.
namespace expunge::nn {

// y = x in another type, f32, bf16 or f16, and with `channels` in its last dimension where they are
// more than x has, the others 0 (kernels/cast.h). x itself where nothing changes.
Var cast(const Ctx& ctx, const Var& x, DType type, int64_t channels = 0);
Tensor as_f32(const Tensor& x);  // no gradient

// Ctx::params16 of a pass over these parameters: where convolutions compute in 16 bits, all of them
// at once, instead of a launch for each; otherwise empty. For one pass: it does not follow the
// values.
Tensor params16(const ParamStore& params);

// y = x * w + bias (kernels/conv2d.h). bias may be null. Where the process computes in 16 bits
// (kernels/precision.h) so are y and copies of x and w; gradients of w and bias stay f32.
struct Conv2dOptions {
  int64_t stride = 1, pad = 0;
};
Var conv2d(const Ctx& ctx, const Var& x, const Var& w, const Var* bias, Conv2dOptions options = {});

// In f32: y = x w^T + bias: x (N, in), w (out, in), y (N, out)
Var linear(const Ctx& ctx, const Var& x, const Var& w, const Var* bias);

// y = relu(gamma xhat + beta + residual) (kernels/batch_norm.h); statistics by ctx.batch_norm.
struct BatchNormOptions {
  float eps = 1e-5f;
  float momentum = 0.1f;  // weight of the new batch in the running statistics
  bool relu = false;
  // max_pool2d by windows of 2 x 2 behind it, with the same bits; nothing may be added then
  bool pool = false;
};
struct BatchNormInputs {
  Var x, gamma, beta;
  Tensor running_mean, running_var;  // (C)
  const Var* residual = nullptr;     // like x
  // Instead of one: a batch norm of its own, whose output is added (neither residual nor shortcut
  // of its own; another x, of the same shape). The bits are those of the two operations.
  const BatchNormInputs* shortcut = nullptr;
};
Var batch_norm(const Ctx& ctx, const BatchNormInputs& in, BatchNormOptions options = {});

// batch_norm of conv2d(in.x, w, bias), with the same bits. In evaluation, where nothing is
// recorded, one call of kernels/conv2d.h.
Var conv2d_batch_norm(const Ctx& ctx, const Var& w, const Var* bias, Conv2dOptions conv,
                      const BatchNormInputs& in, BatchNormOptions norm = {});

// Elementwise; what has 16 bits becomes f32.
Var relu(const Ctx& ctx, const Var& x);
Var sigmoid(const Ctx& ctx, const Var& x);
Var tanh(const Ctx& ctx, const Var& x);
Var gelu(const Ctx& ctx, const Var& x);  // x Phi(x), exact
Var add(const Ctx& ctx, const Var& a, const Var& b);
Var scale(const Ctx& ctx, const Var& x, float factor);

// Rows [begin, end) of x (N, C): a batch of a joint pass (Ctx::joint).
Var rows(const Ctx& ctx, const Var& x, int64_t begin, int64_t end);

// In train mode zeroes each element with probability p and divides the others by 1 - p. `layer`
// tells the dropouts of a network apart in the key of their draws.
Var dropout(const Ctx& ctx, const Var& x, float p, int layer);

// (N, ...) -> (N, rest)
Var flatten(const Ctx& ctx, const Var& x);

struct PoolOptions {
  int64_t kernel = 2, stride = 2, pad = 0;
};
Var max_pool2d(const Ctx& ctx, const Var& x, PoolOptions options = {});  // of x's type
Var average_pool2d(const Ctx& ctx, const Var& x,
                   PoolOptions options = {});  // padding counts as zeros
Var adaptive_average_pool2d(const Ctx& ctx, const Var& x, int64_t height, int64_t width);
Var global_average_pool2d(const Ctx& ctx, const Var& x);  // (N, H, W, C) -> (N, C)

// Each label (N) must be a class: Error otherwise. Those on a GPU nobody looks at, so they are
// checked before they are sent there.
void check_labels(const Tensor& labels, int64_t classes);

// Losses: a scalar, the mean over the batch. `losses`, where given, receives each sample's own (N).
// Labels and targets may lie on the CPU wherever the work is.
Var cross_entropy(const Ctx& ctx, const Var& logits, const Tensor& labels, float smoothing = 0,
                  Tensor* losses = nullptr);
Var soft_cross_entropy(const Ctx& ctx, const Var& logits, const Tensor& targets,
                       Tensor* losses = nullptr);
Var kl_divergence(const Ctx& ctx, const Var& student, const Tensor& teacher, float temperature = 1,
                  Tensor* losses = nullptr);
Var scrub(const Ctx& ctx, const Var& student, const Tensor& teacher,
          Tensor* losses = nullptr);  // kernels/loss.h
Var mse(const Ctx& ctx, const Var& x, const Tensor& targets, Tensor* losses = nullptr);

// Penalties: sum |x| and sum x^2 / 2, scalars.
Var l1(const Ctx& ctx, const Var& x);
Var l2(const Ctx& ctx, const Var& x);

}  // namespace expunge::nn
