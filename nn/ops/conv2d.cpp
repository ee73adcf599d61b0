#include "kernels/conv2d.h"

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

// A linear layer: the gradients are products of rows.
bool is_linear(const Conv2dShape& s) {
  return s.H == 1 && s.W == 1 && s.R == 1 && s.S == 1 && s.pad == 0;
}

void add_bias_gradient(Tape& tape, Stream stream, const Conv2dShape& s, const Var& b,
                       const Tensor& dy) {
  const int64_t pixels = s.P() * s.Q();
  const RowProduct product{.rows = s.N, .in = 1, .out = s.K, .x = nullptr, .dy = dy.data()};
  tape.add_parts(
      b, s.N,
      [&](int64_t n0, int64_t n1, const GradSink& db) {
        kernels::sum_rows(stream, (n1 - n0) * pixels, s.K, dy.data() + n0 * pixels * s.K, db.beta,
                          db.grad.data());
      },
      is_linear(s) ? &product : nullptr);
}

void add_weight_gradient(Tape& tape, Stream stream, const Conv2dShape& s, const Var& x,
                         const Var& w, const Tensor& dy) {
  const RowProduct product{
      .rows = s.N, .in = s.C, .out = s.K, .x = x.value.data(), .dy = dy.data()};
  tape.add_parts(
      w, s.N,
      [&](int64_t n0, int64_t n1, const GradSink& dw) {
        kernels::conv2d_backward_weights(stream, s, n0, n1, x.value.data(), dy.data(), dw.beta,
                                         dw.grad.data());
      },
      is_linear(s) ? &product : nullptr);
}

// Forward and gradient of any product of this form; linear() is the case of 1x1 images.
Var convolve(const Ctx& ctx, const Var& x, const Var& w, const Var* bias, const Conv2dShape& s,
             Shape y_shape) {
  if (ctx.trace != nullptr) ctx.trace->conv2d.push_back(s);
  Tensor y(y_shape, DType::f32, ctx.stream);
  kernels::conv2d(ctx.stream, s, x.value.data(), w.value.data(),
                  bias != nullptr ? bias->value.data() : nullptr, y.data());
  const Var b = bias != nullptr ? *bias : Var{};
  return ctx.record(
      std::move(y), {&x, &w, &b}, [=, stream = ctx.stream](Tape& tape, const Tensor& dy) {
        if (b.wants_grad()) add_bias_gradient(tape, stream, s, b, dy);
        if (w.wants_grad()) add_weight_gradient(tape, stream, s, x, w, dy);
        if (x.wants_grad()) {
          const auto [dx, beta] = tape.sink(x);
          kernels::conv2d_backward_data(stream, s, dy.data(), w.value.data(), beta, dx.data());
        }
      });
}

}  // namespace

Var conv2d(const Ctx& ctx, const Var& x, const Var& w, const Var* bias, Conv2dOptions options) {
  const Conv2dShape s = checked_shape(x, w, bias, options);
  return convolve(ctx, x, w, bias, s, {s.N, s.P(), s.Q(), s.K});
}

Var linear(const Ctx& ctx, const Var& x, const Var& w, const Var* bias) {
  EXPUNGE_CHECK(x.value.rank() == 2, "linear: x must be (N, in), got {}", x.shape().str());
  EXPUNGE_CHECK(w.value.rank() == 2 && w.value.dim(1) == x.value.dim(1),
                "linear: w must be (out, {}), got {}", x.value.dim(1), w.shape().str());
  const int64_t N = x.value.dim(0), in = x.value.dim(1), out = w.value.dim(0);
  EXPUNGE_CHECK(bias == nullptr || bias->shape() == Shape{out}, "linear: bias must be ({}), got {}",
                out, bias->shape().str());
  return convolve(ctx, x, w, bias, {.N = N, .H = 1, .W = 1, .C = in, .K = out, .R = 1, .S = 1},
                  {N, out});
}

}  // namespace expunge::nn
