#include "kernels/batch_norm.h"

#include "kernels/reduce.h"
#include "nn/ops.h"
#include "nn/trace.h"

namespace expunge::nn {

Var batch_norm(const Ctx& ctx, const BatchNormInputs& in, BatchNormOptions options) {
  const int64_t C = in.gamma.value.size();
  EXPUNGE_CHECK(in.x.value.rank() >= 2 && in.x.value.dim(in.x.value.rank() - 1) == C,
                "batch_norm: x must be (..., {}), got {}", C, in.x.shape().str());
  EXPUNGE_CHECK(in.residual == nullptr || (in.residual->shape() == in.x.shape() &&
                                           in.residual->value.dtype() == in.x.value.dtype()),
                "batch_norm: residual {} on x {}, or another type", in.residual->shape().str(),
                in.x.shape().str());
  const kernels::BatchNormShape s{.pixels = in.x.value.size() / C, .C = C, .relu = options.relu};
  if (ctx.trace != nullptr) ctx.trace->batch_norm.push_back({s, in.residual != nullptr});
  const bool batch = ctx.batch_norm != BatchNormMode::eval;
  EXPUNGE_CHECK(!batch || s.pixels > 1,
                "batch_norm: batch statistics need more than one value per channel, got {}",
                in.x.shape().str());

  Tensor mean(Shape{C}, DType::f32, ctx.stream), invstd = empty_like(mean);
  if (batch) {
    kernels::RunningStatistics running;
    if (ctx.batch_norm == BatchNormMode::train)
      running = {in.running_mean.data(), in.running_var.data(), options.momentum};
    kernels::batch_norm_statistics(ctx.stream, s, in.x.value.values(), options.eps, running,
                                   mean.data(), invstd.data());
  } else {
    mean = in.running_mean;
    kernels::batch_norm_invstd(ctx.stream, C, in.running_var.data(), options.eps, invstd.data());
  }
  Tensor y = empty_like(in.x.value);
  kernels::batch_norm_apply(
      ctx.stream, s, in.x.value.values(),
      {mean.data(), invstd.data(), in.gamma.value.data(), in.beta.value.data()},
      in.residual != nullptr ? in.residual->value.values() : Values{}, y.values());

  const Var residual = in.residual != nullptr ? Var{Tensor(), in.residual->slot} : Var{};
  auto backward = [=, x = in.x, gamma = in.gamma, beta = Var{Tensor(), in.beta.slot},
                   stream = ctx.stream, y = y](Tape& tape, const Tensor& dy) {
    const Tensor sums(Shape{4 * C}, DType::f32, stream);  // sum g, sum g xhat: (2, C) doubles
    double *sum_g = static_cast<double*>(sums.bytes()), *sum_gx = sum_g + C;
    const auto sum_up = [&](int64_t p0, int64_t p1, double* g, double* gx) {
      kernels::batch_norm_sums(stream, s, p0, p1, x.value.values(), y.values(), dy.values(),
                               mean.data(), invstd.data(), g, gx);
    };
    sum_up(0, s.pixels, sum_g, sum_gx);
    kernels::BatchNormBackward terms{.x = x.value.values(),
                                     .y = y.values(),
                                     .dy = dy.values(),
                                     .mean = mean.data(),
                                     .invstd = invstd.data(),
                                     .gamma = gamma.value.data(),
                                     .sum_g = sum_g,
                                     .sum_gx = sum_gx,
                                     .batch = batch};
    const auto whole = [&](const Var& parameter) {
      return parameter.wants_grad() && !tape.watches_slices() ? tape.sink(parameter) : GradSink{};
    };
    const GradSink dgamma = whole(gamma), dbeta = whole(beta);
    terms.beta_gamma = dgamma.beta, terms.dgamma = dgamma.grad.data();
    terms.beta_beta = dbeta.beta, terms.dbeta = dbeta.grad.data();
    if (tape.watches_slices()) {
      const int64_t images = x.value.dim(0), pixels = s.pixels / images;
      const Tensor slice = empty_like(sums);
      double *slice_g = static_cast<double*>(slice.bytes()), *slice_gx = slice_g + C;
      const auto parts = [&](const double* part) {
        return [&, part](Stream, int64_t n0, int64_t n1, const GradSink& sink) {
          sum_up(n0 * pixels, n1 * pixels, slice_g, slice_gx);
          kernels::add_sums(stream, C, part, sink.beta, sink.grad.data());
        };
      };
      if (beta.wants_grad()) tape.add_parts(beta, {images}, parts(slice_g));
      if (gamma.wants_grad()) tape.add_parts(gamma, {images}, parts(slice_gx));
    }
    const GradSink dx = x.wants_grad() ? tape.sink(x) : GradSink{};
    const GradSink dresidual = residual.wants_grad() ? tape.sink(residual) : GradSink{};
    terms.beta_dx = dx.beta, terms.dx = dx.grad.values();
    terms.beta_residual = dresidual.beta, terms.dresidual = dresidual.grad.values();
    kernels::batch_norm_backward(stream, s, terms);
  };
  return ctx.record(std::move(y), {&in.x, &in.gamma, &in.beta, in.residual}, std::move(backward));
}

}  // namespace expunge::nn
