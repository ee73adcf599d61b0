#include "kernels/conv2d.h"

#include "kernels/cast.h"
#include "kernels/conv2d_image.h"
#include "kernels/precision.h"
#include "kernels/reduce.h"
#include "nn/ops.h"
#include "nn/trace.h"

namespace expunge::nn {
namespace {

using kernels::Conv2dShape;

Conv2dShape checked_shape(const Var& x, const Var& w, const Var* bias, Conv2dOptions o) {
  EXPUNGE_CHECK(x.value.rank() == 4, "conv2d: x must be (N, H, W, C), got {}", x.shape().str());
  EXPUNGE_CHECK(w.value.rank() == 4 && w.value.dim(3) == x.value.dim(3),
                "conv2d: w must be (K, R, S, {}), got {}", x.value.dim(3), w.shape().str());
  const Conv2dShape s{.N = x.value.dim(0),
                      .H = x.value.dim(1),
                      .W = x.value.dim(2),
                      .C = x.value.dim(3),
                      .K = w.value.dim(0),
                      .R = w.value.dim(1),
                      .S = w.value.dim(2),
                      .stride = o.stride,
                      .pad = o.pad};
  EXPUNGE_CHECK(
      o.stride >= 1 && o.stride <= kernels::kMaxStride && o.pad >= 0 && s.R <= kernels::kMaxKernel,
      "conv2d: stride 1..{}, pad >= 0, at most {} kernel rows; got stride {}, pad {}, w {}",
      kernels::kMaxStride, kernels::kMaxKernel, o.stride, o.pad, w.shape().str());
  EXPUNGE_CHECK(s.H + 2 * o.pad >= s.R && s.W + 2 * o.pad >= s.S,
                "conv2d: the kernel {} is larger than x {} with pad {}", w.shape().str(),
                x.shape().str(), o.pad);
  EXPUNGE_CHECK(bias == nullptr || bias->shape() == Shape{s.K}, "conv2d: bias must be ({}), got {}",
                s.K, bias->shape().str());
  return s;
}

void trace(const Ctx& ctx, const Conv2dShape& s) {
  if (ctx.trace != nullptr) ctx.trace->conv2d.push_back(s);
}

// A linear layer: the gradients are products of rows.
bool is_linear(const Conv2dShape& s) {
  return s.H == 1 && s.W == 1 && s.R == 1 && s.S == 1 && s.pad == 0;
}

// Of what `dy` holds, in f32.
void add_bias_gradient(Tape& tape, const Conv2dShape& s, const Var& b, const Tensor& dy) {
  const int64_t pixels = s.P() * s.Q();
  const Tensor g = as_f32(dy);
  const RowProduct product{.rows = s.N, .in = 1, .out = s.K, .x = nullptr, .dy = g.data()};
  tape.add_parts(b, {.images = s.N, .product = is_linear(s) ? &product : nullptr, .reads = {g}},
                 [&](Stream at, int64_t n0, int64_t n1, const GradSink& db) {
                   kernels::sum_rows(at, (n1 - n0) * pixels, s.K, g.data() + n0 * pixels * s.K,
                                     db.beta, db.grad.data());
                 });
}

// What is computed with: x, and w in its type and with as many channels; the type of y; whether x
// are images for kernels/conv2d_image.h.
struct Operands {
  Var x;
  Tensor w;
  DType y;
  bool images = false;
};

// Of an input that was filled up with channels it is made apart, and added without those.
void add_weight_gradient(Tape& tape, const Conv2dShape& s, const Operands& of, const Var& w,
                         const Tensor& dy) {
  const Tensor x = of.x.value;
  RowProduct product{.rows = s.N, .in = s.C, .out = s.K, .x = nullptr, .dy = nullptr};
  if (is_linear(s)) product.x = x.data(), product.dy = dy.data();
  const bool apart = of.w.shape() != w.value.shape();
  tape.add_parts(w, {.images = s.N, .product = is_linear(s) ? &product : nullptr, .reads = {x, dy}},
                 [&](Stream at, int64_t n0, int64_t n1, const GradSink& dw) {
                   if (of.images)
                     return kernels::conv2d_image_backward_weights(
                         at, s, n0, n1, x.data(), dy.values(), dw.beta, dw.grad.data());
                   const Tensor own = apart ? Tensor(of.w.shape(), DType::f32, at) : dw.grad;
                   kernels::conv2d_backward_weights(at, s, n0, n1, x.values(), dy.values(),
                                                    apart ? 0.0f : dw.beta, own.values());
                   if (!apart) return;
                   const int64_t rows = s.K * s.R * s.S, C = dw.grad.size() / rows;
                   kernels::cast(at, {rows, s.C, C}, own.values(), dw.beta, dw.grad.values());
                 });
}

// Forward and gradient of any product of this form; linear() is the case of 1x1 images.
Var convolve(const Ctx& ctx, const Operands& of, const Var& w, const Var* bias,
             const Conv2dShape& s, Shape y_shape) {
  const Var x = of.x;
  Tensor y(y_shape, of.y, ctx.stream);
  const float* to_add = bias != nullptr ? bias->value.data() : nullptr;
  if (of.images)
    kernels::conv2d_image(ctx.stream, s, x.value.data(), of.w.data(), to_add, y.values());
  else
    kernels::conv2d(ctx.stream, s, x.value.values(), of.w.values(), to_add, y.values());
  const Var b = bias != nullptr ? *bias : Var{};
  return ctx.record(
      std::move(y), {&x, &w, &b}, [=, stream = ctx.stream](Tape& tape, const Tensor& dy) {
        if (b.wants_grad()) add_bias_gradient(tape, s, b, dy);
        if (w.wants_grad()) add_weight_gradient(tape, s, of, w, dy);
        if (x.wants_grad()) {
          const auto [dx, beta] = tape.sink(x);
          kernels::conv2d_backward_data(stream, s, dy.values(), of.w.values(), beta, dx.values());
        }
      });
}

// In 16 bits engines want as many channels as a vector has: zeros fill up.
constexpr int64_t kChannels = 8;

// Whoever wants a gradient by the images has the casts.
bool takes_images(const Ctx& ctx, const Var& x, const Conv2dShape& s) {
  return ctx.stream.device == Device::cuda && kernels::precision() != kernels::Precision::fp32 &&
         kernels::is_conv2d_image(s) && x.value.dtype() == DType::f32 && !x.wants_grad();
}

Operands operands(const Ctx& ctx, const Var& x, const Var& w, Conv2dShape& s) {
  const DType type = kernels::activation_type();
  const bool images = takes_images(ctx, x, s);
  if (images || !is_16_bit(type)) return {x, w.value, type, images};
  const int64_t C = (s.C + kChannels - 1) / kChannels * kChannels;
  Tensor w16 = C == s.C ? ctx.in_16_bits(w.value) : Tensor();
  if (!w16 || w16.dtype() != type) w16 = cast({.stream = ctx.stream}, {w.value}, type, C).value;
  s.C = C;
  return {cast(ctx, x, type, C), w16, type};
}

}  // namespace

Var conv2d(const Ctx& ctx, const Var& x, const Var& w, const Var* bias, Conv2dOptions options) {
  Conv2dShape s = checked_shape(x, w, bias, options);
  trace(ctx, s);
  const Operands of = operands(ctx, x, w, s);
  return convolve(ctx, of, w, bias, s, {s.N, s.P(), s.Q(), s.K});
}

Var conv2d_batch_norm(const Ctx& ctx, const Var& w, const Var* bias, Conv2dOptions conv,
                      const BatchNormInputs& in, BatchNormOptions norm) {
  Conv2dShape s = checked_shape(in.x, w, bias, conv);
  if (norm.pool && (s.P() % 2 != 0 || s.Q() % 2 != 0)) {
    norm.pool = false;
    return max_pool2d(ctx, conv2d_batch_norm(ctx, w, bias, conv, in, norm));
  }
  if (!ctx.evaluates() || norm.pool || in.shortcut != nullptr || takes_images(ctx, in.x, s)) {
    BatchNormInputs behind = in;
    behind.x = conv2d(ctx, in.x, w, bias, conv);
    return batch_norm(ctx, behind, norm);
  }
  trace(ctx, s);
  if (ctx.trace != nullptr)
    ctx.trace->batch_norm.push_back(
        {{s.N * s.P() * s.Q(), s.K, norm.relu}, in.residual != nullptr});
  const Operands of = operands(ctx, in.x, w, s);
  const Var y{Tensor({s.N, s.P(), s.Q(), s.K}, of.y, ctx.stream), Var::kNone};
  EXPUNGE_CHECK(in.gamma.shape() == Shape{s.K}, "conv2d_batch_norm: gamma must be ({}), got {}",
                s.K, in.gamma.shape().str());
  EXPUNGE_CHECK(in.residual == nullptr || (in.residual->shape() == y.shape() &&
                                           in.residual->value.dtype() == y.value.dtype()),
                "conv2d_batch_norm: residual {} on y {}, or another type",
                in.residual->shape().str(), y.shape().str());
  const Tensor numbers({3, s.K}, DType::f32, ctx.stream);  // 1 / deviation, line
  float *invstd = numbers.data(), *line = invstd + s.K;
  kernels::batch_norm_known(ctx.stream,
                            {s.K, in.running_mean.data(), in.running_var.data(), norm.eps,
                             in.gamma.value.data(), in.beta.value.data(), invstd, line});
  kernels::conv2d_batch_norm(
      ctx.stream, s, of.x.value.values(), of.w.values(),
      bias != nullptr ? bias->value.data() : nullptr,
      {.line = line,
       .residual = in.residual != nullptr ? in.residual->value.values() : Values{},
       .relu = norm.relu},
      y.value.values());
  return y;
}

Var linear(const Ctx& ctx, const Var& any, const Var& w, const Var* bias) {
  const Var x = cast(ctx, any, DType::f32);
  EXPUNGE_CHECK(x.value.rank() == 2, "linear: x must be (N, in), got {}", x.shape().str());
  EXPUNGE_CHECK(w.value.rank() == 2 && w.value.dim(1) == x.value.dim(1),
                "linear: w must be (out, {}), got {}", x.value.dim(1), w.shape().str());
  const int64_t N = x.value.dim(0), in = x.value.dim(1), out = w.value.dim(0);
  EXPUNGE_CHECK(bias == nullptr || bias->shape() == Shape{out}, "linear: bias must be ({}), got {}",
                out, bias->shape().str());
  const Conv2dShape s{.N = N, .H = 1, .W = 1, .C = in, .K = out, .R = 1, .S = 1};
  trace(ctx, s);
  return convolve(ctx, {x, w.value, DType::f32}, w, bias, s, {N, out});
}

}  // namespace expunge::nn
