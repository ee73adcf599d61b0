#include "kernels/pool2d.h"

#include "nn/ops.h"
#include "nn/trace.h"

namespace expunge::nn {
namespace {

void check_pool(const char* op, const Var& x, PoolOptions o) {
  EXPUNGE_CHECK(x.value.rank() == 4, "{}: x must be (N, H, W, C), got {}", op, x.shape().str());
  EXPUNGE_CHECK(o.kernel >= 1 && o.stride >= 1 && o.pad >= 0 && 2 * o.pad <= o.kernel,
                "{}: kernel and stride >= 1, 0 <= pad <= kernel / 2, got {}, {}, {}", op, o.kernel,
                o.stride, o.pad);
  EXPUNGE_CHECK(x.value.dim(1) + 2 * o.pad >= o.kernel && x.value.dim(2) + 2 * o.pad >= o.kernel,
                "{}: the window {} is larger than x {}", op, o.kernel, x.shape().str());
}

Var average(const Ctx& ctx, const Var& x, const kernels::AveragePool2dShape& s, Shape y_shape) {
  if (ctx.trace != nullptr) ctx.trace->average_pool2d.push_back(s);
  Tensor y(y_shape, DType::f32, ctx.stream);
  kernels::average_pool2d(ctx.stream, s, x.value.values(), y.data());
  return ctx.record(std::move(y), {&x},
                    [=, slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      const auto [dx, beta] = tape.sink({{}, slot});
                      kernels::average_pool2d_backward(stream, s, dy.data(), beta, dx.values());
                    });
}

kernels::AveragePool2dShape adaptive(const char* op, const Var& x, int64_t P, int64_t Q) {
  EXPUNGE_CHECK(x.value.rank() == 4 && P >= 1 && Q >= 1, "{}: x must be (N, H, W, C), got {}", op,
                x.shape().str());
  return {.N = x.value.dim(0),
          .H = x.value.dim(1),
          .W = x.value.dim(2),
          .C = x.value.dim(3),
          .P = P,
          .Q = Q};
}

}  // namespace

Var max_pool2d(const Ctx& ctx, const Var& x, PoolOptions o) {
  check_pool("max_pool2d", x, o);
  const kernels::Pool2dShape s{.N = x.value.dim(0),
                               .H = x.value.dim(1),
                               .W = x.value.dim(2),
                               .C = x.value.dim(3),
                               .kernel = o.kernel,
                               .stride = o.stride,
                               .pad = o.pad};
  if (ctx.trace != nullptr) ctx.trace->max_pool2d.push_back(s);
  Tensor y(Shape{s.N, s.P(), s.Q(), s.C}, x.value.dtype(), ctx.stream),
      which(y.shape(), DType::i32, ctx.stream);
  kernels::max_pool2d(ctx.stream, s, x.value.values(), y.values(), which.as<int32_t>());
  return ctx.record(std::move(y), {&x},
                    [=, slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      const auto [dx, beta] = tape.sink({{}, slot});
                      kernels::max_pool2d_backward(stream, s, dy.values(), which.as<int32_t>(),
                                                   beta, dx.values());
                    });
}

Var average_pool2d(const Ctx& ctx, const Var& x, PoolOptions o) {
  check_pool("average_pool2d", x, o);
  kernels::AveragePool2dShape s{.N = x.value.dim(0),
                                .H = x.value.dim(1),
                                .W = x.value.dim(2),
                                .C = x.value.dim(3),
                                .P = 0,
                                .Q = 0,
                                .kernel = o.kernel,
                                .stride = o.stride,
                                .pad = o.pad};
  s.P = (s.H + 2 * s.pad - s.kernel) / s.stride + 1,
  s.Q = (s.W + 2 * s.pad - s.kernel) / s.stride + 1;
  return average(ctx, x, s, {s.N, s.P, s.Q, s.C});
}

Var adaptive_average_pool2d(const Ctx& ctx, const Var& x, int64_t height, int64_t width) {
  const auto s = adaptive("adaptive_average_pool2d", x, height, width);
  return average(ctx, x, s, {s.N, s.P, s.Q, s.C});
}

Var global_average_pool2d(const Ctx& ctx, const Var& x) {
  const auto s = adaptive("global_average_pool2d", x, 1, 1);
  return average(ctx, x, s, {s.N, s.C});
}

}  // namespace expunge::nn
