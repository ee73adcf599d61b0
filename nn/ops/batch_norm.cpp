#include "kernels/batch_norm.h"

#include <array>

#include "kernels/reduce.h"
#include "nn/ops.h"
#include "nn/trace.h"

namespace expunge::nn {
namespace {

// What is normalised by the same numbers: a batch, or one of the two of a joint pass.
struct Normalised {
  kernels::BatchNormShape shape{};
  int64_t first = 0;      // of its values
  bool by_batch = false;  // by statistics of its own
  Tensor mean{}, invstd{};
};

struct BatchNorm {
  Stream stream;
  Var x, gamma, beta, residual;
  Tensor y;
  int64_t images;
  std::array<Normalised, 2> of{};
  int count = 0;
};

ConstValues from(const Tensor& t, int64_t first) {
  return t ? ConstValues(t.values()).from(first) : ConstValues{};
}

void check(const BatchNormInputs& in) {
  const int64_t C = in.gamma.value.size();
  EXPUNGE_CHECK(in.x.value.rank() >= 2 && in.x.value.dim(in.x.value.rank() - 1) == C,
                "batch_norm: x must be (..., {}), got {}", C, in.x.shape().str());
  EXPUNGE_CHECK(in.residual == nullptr || (in.residual->shape() == in.x.shape() &&
                                           in.residual->value.dtype() == in.x.value.dtype()),
                "batch_norm: residual {} on x {}, or another type", in.residual->shape().str(),
                in.x.shape().str());
}

// Rows [p0, p1) of x, under the batch's own ctx.
Normalised normalise(const Ctx& ctx, const BatchNormInputs& in, const BatchNormOptions& options,
                     int64_t p0, int64_t p1, const Tensor& y) {
  const int64_t C = in.gamma.value.size();
  Normalised n{.shape = {.pixels = p1 - p0, .C = C, .relu = options.relu},
               .first = p0 * C,
               .by_batch = ctx.batch_norm != BatchNormMode::eval,
               .mean = in.running_mean,
               .invstd = Tensor(Shape{C}, DType::f32, ctx.stream)};
  EXPUNGE_CHECK(!n.by_batch || n.shape.pixels > 1,
                "batch_norm: batch statistics need more than one value per channel, got {}",
                in.x.shape().str());
  const ConstValues x = from(in.x.value, n.first);
  if (n.by_batch) {
    n.mean = empty_like(n.invstd);
    kernels::RunningStatistics running;
    if (ctx.batch_norm == BatchNormMode::train)
      running = {in.running_mean.data(), in.running_var.data(), options.momentum};
    kernels::batch_norm_statistics(ctx.stream, n.shape, x, options.eps, running, n.mean.data(),
                                   n.invstd.data());
  } else {
    kernels::batch_norm_invstd(ctx.stream, C, in.running_var.data(), options.eps, n.invstd.data());
  }
  kernels::batch_norm_apply(
      ctx.stream, n.shape, x,
      {n.mean.data(), n.invstd.data(), in.gamma.value.data(), in.beta.value.data()},
      from(in.residual != nullptr ? in.residual->value : Tensor{}, n.first),
      y.values().from(n.first));
  return n;
}

// Gradients by x and the residual go to the sinks, which are of all batches.
void differentiate(Tape& tape, const BatchNorm& b, int batch, const Tensor& dy, const GradSink& dx,
                   const GradSink& dresidual) {
  const Normalised& n = b.of[static_cast<size_t>(batch)];
  const int64_t C = n.shape.C;
  const Tensor sums(Shape{4 * C}, DType::f32, b.stream);  // sum g, sum g xhat: (2, C) doubles
  double *sum_g = static_cast<double*>(sums.bytes()), *sum_gx = sum_g + C;
  kernels::BatchNormBackward terms{.x = from(b.x.value, n.first),
                                   .y = from(b.y, n.first),
                                   .dy = from(dy, n.first),
                                   .mean = n.mean.data(),
                                   .invstd = n.invstd.data(),
                                   .gamma = b.gamma.value.data(),
                                   .sum_g = sum_g,
                                   .sum_gx = sum_gx,
                                   .batch = n.by_batch};
  const auto sum_up = [&](int64_t p0, int64_t p1, double* g, double* gx) {
    kernels::batch_norm_sums(b.stream, n.shape, p0, p1, terms.x, terms.y, terms.dy, terms.mean,
                             terms.invstd, g, gx);
  };
  sum_up(0, n.shape.pixels, sum_g, sum_gx);
  const auto whole = [&](const Var& parameter) {
    return parameter.wants_grad() && !tape.watches_slices() ? tape.sink_of(parameter, batch)
                                                            : GradSink{};
  };
  const GradSink dgamma = whole(b.gamma), dbeta = whole(b.beta);
  terms.beta_gamma = dgamma.beta, terms.dgamma = dgamma.grad.data();
  terms.beta_beta = dbeta.beta, terms.dbeta = dbeta.grad.data();
  if (tape.watches_slices()) {
    const int64_t pixels = n.shape.pixels / b.images;
    const Tensor slice = empty_like(sums);
    double *slice_g = static_cast<double*>(slice.bytes()), *slice_gx = slice_g + C;
    const auto parts = [&](const double* part) {
      return [&, part](Stream, int64_t n0, int64_t n1, const GradSink& sink) {
        sum_up(n0 * pixels, n1 * pixels, slice_g, slice_gx);
        kernels::add_sums(b.stream, C, part, sink.beta, sink.grad.data());
      };
    };
    if (b.beta.wants_grad()) tape.add_parts(b.beta, {b.images}, parts(slice_g));
    if (b.gamma.wants_grad()) tape.add_parts(b.gamma, {b.images}, parts(slice_gx));
  }
  const auto to = [&](const GradSink& sink) {
    return sink.grad ? sink.grad.values().from(n.first) : Values{};
  };
  terms.beta_dx = dx.beta, terms.dx = to(dx);
  terms.beta_residual = dresidual.beta, terms.dresidual = to(dresidual);
  kernels::batch_norm_backward(b.stream, n.shape, terms);
}

}  // namespace

Var batch_norm(const Ctx& ctx, const BatchNormInputs& in, BatchNormOptions options) {
  check(in);
  const int64_t C = in.gamma.value.size(), images = in.x.value.dim(0),
                pixels = in.x.value.size() / C;
  if (ctx.trace != nullptr)
    ctx.trace->batch_norm.push_back({{pixels, C, options.relu}, in.residual != nullptr});
  const Tensor y = empty_like(in.x.value);
  BatchNorm b{.stream = ctx.stream,
              .x = in.x,
              .gamma = in.gamma,
              .beta = {Tensor(), in.beta.slot},
              .residual = in.residual != nullptr ? Var{Tensor(), in.residual->slot} : Var{},
              .y = y,
              .images = images};
  ctx.for_batches(images, [&](const Ctx& own, int64_t n0, int64_t n1) {
    const auto row = [&](int64_t n) { return images > 0 ? n * (pixels / images) : 0; };
    Normalised& n = b.of.at(static_cast<size_t>(b.count++));
    n = normalise(own, in, options, row(n0), row(n1), y);
    // another batch may move the running mean before this one's gradient reads it
    if (!ctx.joint.empty() && !n.by_batch) n.mean = n.mean.clone();
  });
  const auto backward = [b = std::move(b)](Tape& tape, const Tensor& dy) {
    const GradSink dx = b.x.wants_grad() ? tape.sink(b.x) : GradSink{};
    const GradSink dresidual = b.residual.wants_grad() ? tape.sink(b.residual) : GradSink{};
    for (int batch = 0; batch < b.count; ++batch) differentiate(tape, b, batch, dy, dx, dresidual);
  };
  return ctx.record(y, {&in.x, &in.gamma, &in.beta, in.residual}, backward);
}

}  // namespace expunge::nn
