#include "kernels/batch_norm.h"

#include <array>
#include <span>

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
  bool updates = false;   // the running ones, with them
  Tensor mean{}, invstd{}, line{};
};

using kernels::kMostBatches;

struct BatchNorm {
  Stream stream;
  Var x, gamma, beta, residual;
  Tensor y{};      // where a residual was added, and the ReLU's gradient is wanted
  Tensor which{};  // where it is pooled
  int64_t images, width;
  std::array<Normalised, kMostBatches> of{};
  int count = 0;

  std::span<const Normalised> all() const { return {of.data(), static_cast<size_t>(count)}; }
  // The output that begins where this value of x does, at the first of an image.
  int64_t output(int64_t value) const { return kernels::NormPool{width}.outputs(value); }
};

// What a kernel is given of each batch.
template <class T>
struct PerBatch {
  std::array<T, kMostBatches> of{};
  size_t count = 0;
  void add(const T& batch) { of.at(count++) = batch; }
  kernels::Batches<T> all() const {
    return kernels::Batches<T>(std::span<const T>(of.data(), count));
  }
};

ConstValues from(const Tensor& t, int64_t first) {
  return t ? ConstValues(t.values()).from(first) : ConstValues{};
}

// Of the outputs from `first` on. which empty: nobody differentiates.
kernels::NormPool pool_from(const Tensor& which, int64_t width, int64_t first) {
  return {width, which && width > 0 ? static_cast<uint8_t*>(which.bytes()) + first : nullptr};
}

// Columns of the images whose windows of 2 x 2 are pooled in the same operation; 0: none are.
int64_t pooled_width(const Var& x, const BatchNormOptions& options) {
  if (!options.pool) return 0;
  EXPUNGE_CHECK(x.value.rank() == 4 && x.value.dim(1) >= 2 && x.value.dim(2) >= 2,
                "batch_norm: x is pooled by windows of 2 x 2, so it must be (N, H, W, C), got {}",
                x.shape().str());
  return x.value.dim(1) % 2 == 0 && x.value.dim(2) % 2 == 0 ? x.value.dim(2) : 0;
}

void check(const BatchNormInputs& in, const BatchNormOptions& options) {
  EXPUNGE_CHECK(!options.pool || in.residual == nullptr, "batch_norm: a residual on x {}, pooled",
                in.x.shape().str());
  const int64_t C = in.gamma.value.size();
  EXPUNGE_CHECK(in.x.value.rank() >= 2 && in.x.value.dim(in.x.value.rank() - 1) == C,
                "batch_norm: x must be (..., {}), got {}", C, in.x.shape().str());
  EXPUNGE_CHECK(in.residual == nullptr || (in.residual->shape() == in.x.shape() &&
                                           in.residual->value.dtype() == in.x.value.dtype()),
                "batch_norm: residual {} on x {}, or another type", in.residual->shape().str(),
                in.x.shape().str());
}

// Rows [p0, p1) of x, under the batch's own ctx: what they will be normalised by.
Normalised numbers_of(const Ctx& ctx, const BatchNormInputs& in, const BatchNormOptions& options,
                      int64_t p0, int64_t p1) {
  const int64_t C = in.gamma.value.size();
  const bool by_batch = ctx.batch_norm != BatchNormMode::eval;
  const Tensor invstd(Shape{C}, DType::f32, ctx.stream);
  EXPUNGE_CHECK(!by_batch || p1 - p0 > 1,
                "batch_norm: batch statistics need more than one value per channel, got {}",
                in.x.shape().str());
  return {.shape = {.pixels = p1 - p0, .C = C, .relu = options.relu},
          .first = p0 * C,
          .by_batch = by_batch,
          .updates = ctx.batch_norm == BatchNormMode::train,
          .mean = by_batch ? empty_like(invstd) : in.running_mean,
          .invstd = invstd,
          .line = Tensor({2, C}, DType::f32, ctx.stream)};
}

// mean, invstd and line of all, in their order: each may move the running statistics, which
// evaluation reads.
void find_statistics(Stream stream, const BatchNormInputs& in, const BatchNormOptions& options,
                     std::span<Normalised> all) {
  const kernels::RunningStatistics running{in.running_mean.data(), in.running_var.data(),
                                           options.momentum};
  PerBatch<kernels::BatchNormStatistics> by_batch;
  const auto find = [&] {
    if (by_batch.count > 0) kernels::batch_norm_statistics(stream, by_batch.all());
    by_batch.count = 0;
  };
  for (Normalised& n : all) {
    if (n.by_batch) {
      by_batch.add({.shape = n.shape,
                    .x = from(in.x.value, n.first),
                    .eps = options.eps,
                    .running = n.updates ? running : kernels::RunningStatistics{},
                    .gamma = in.gamma.value.data(),
                    .beta = in.beta.value.data(),
                    .mean = n.mean.data(),
                    .invstd = n.invstd.data(),
                    .line = n.line.data()});
      continue;
    }
    find();
    kernels::batch_norm_known(
        stream, {n.shape.C, in.running_mean.data(), in.running_var.data(), options.eps,
                 in.gamma.value.data(), in.beta.value.data(), n.invstd.data(), n.line.data()});
    // another batch may move it before this one is differentiated
    if (all.size() > 1) n.mean = n.mean.clone();
  }
  find();
}

void normalise(const BatchNorm& b, const BatchNormInputs& in, const Tensor& y) {
  PerBatch<kernels::BatchNormApply> of;
  for (const Normalised& n : b.all()) {
    const int64_t first = b.output(n.first);
    of.add({.shape = n.shape,
            .x = from(in.x.value, n.first),
            .line = n.line.data(),
            .residual = from(in.residual != nullptr ? in.residual->value : Tensor{}, n.first),
            .y = y.values().from(first),
            .pool = pool_from(b.which, b.width, first)});
  }
  kernels::batch_norm_apply(b.stream, of.all());
}

// Of rows [p0, p1) of a batch.
kernels::BatchNormGradient gradient_of(const BatchNorm& b, const Normalised& n, const Tensor& dy,
                                       int64_t p0, int64_t p1) {
  const int64_t C = n.shape.C, at = n.first + p0 * C;
  return {.shape = {p1 - p0, C, n.shape.relu},
          .x = from(b.x.value, at),
          .y = from(b.y, at),
          .dy = from(dy, b.output(at)),
          .mean = n.mean.data(),
          .invstd = n.invstd.data(),
          .line = n.line.data(),
          .pool = pool_from(b.which, b.width, b.output(at))};
}

// Gradients of gamma and beta slice by slice.
void add_slices(Tape& tape, const BatchNorm& b, const Tensor& dy) {
  EXPUNGE_CHECK(b.count == 1, "batch_norm: slices of {} batches", b.count);
  const Normalised& n = b.of[0];
  const int64_t C = n.shape.C, pixels = n.shape.pixels / b.images;
  const Tensor slice(Shape{4 * C}, DType::f32, b.stream);  // (2, C) doubles
  double *sum_g = static_cast<double*>(slice.bytes()), *sum_gx = sum_g + C;
  const auto parts = [&](const double* part) {
    return [&, part](Stream, int64_t n0, int64_t n1, const GradSink& sink) {
      kernels::batch_norm_sums(
          b.stream,
          kernels::BatchNormSums{gradient_of(b, n, dy, n0 * pixels, n1 * pixels), sum_g, sum_gx});
      kernels::add_sums(b.stream, C, part, sink.beta, sink.grad.data());
    };
  };
  if (b.beta.wants_grad()) tape.add_parts(b.beta, {b.images}, parts(sum_g));
  if (b.gamma.wants_grad()) tape.add_parts(b.gamma, {b.images}, parts(sum_gx));
}

// Gradients by x and the residual go to the sinks, which are of all batches.
kernels::BatchNormBackward terms_of(Tape& tape, const BatchNorm& b, int batch, const Tensor& dy,
                                    const GradSink& dx, const GradSink& dresidual) {
  const Normalised& n = b.of[static_cast<size_t>(batch)];
  const auto whole = [&](const Var& parameter) {
    return parameter.wants_grad() && !tape.watches_slices() ? tape.sink_of(parameter, batch)
                                                            : GradSink{};
  };
  const GradSink dgamma = whole(b.gamma), dbeta = whole(b.beta);
  const auto to = [&](const GradSink& sink) {
    return sink.grad ? sink.grad.values().from(n.first) : Values{};
  };
  return {.in = gradient_of(b, n, dy, 0, n.shape.pixels),
          .gamma = b.gamma.value.data(),
          .batch = n.by_batch,
          .beta_dx = dx.beta,
          .dx = to(dx),
          .beta_residual = dresidual.beta,
          .dresidual = to(dresidual),
          .beta_gamma = dgamma.beta,
          .dgamma = dgamma.grad.data(),
          .beta_beta = dbeta.beta,
          .dbeta = dbeta.grad.data()};
}

void differentiate(Tape& tape, const BatchNorm& b, const Tensor& dy) {
  // in the order of writing: the residual may be x
  const GradSink dresidual = b.residual.wants_grad() ? tape.sink(b.residual) : GradSink{};
  const GradSink dx = b.x.wants_grad() ? tape.sink(b.x) : GradSink{};
  PerBatch<kernels::BatchNormBackward> terms;
  for (int k = 0; k < b.count; ++k) terms.add(terms_of(tape, b, k, dy, dx, dresidual));
  if (tape.watches_slices()) add_slices(tape, b, dy);
  kernels::batch_norm_backward(b.stream, terms.all());
}

}  // namespace

Var batch_norm(const Ctx& ctx, const BatchNormInputs& in, BatchNormOptions options) {
  check(in, options);
  const int64_t C = in.gamma.value.size(), images = in.x.value.dim(0),
                pixels = in.x.value.size() / C, width = pooled_width(in.x, options);
  if (options.pool && width == 0) {
    options.pool = false;
    return max_pool2d(ctx, batch_norm(ctx, in, options));
  }
  if (ctx.trace != nullptr)
    ctx.trace->batch_norm.push_back({{pixels, C, options.relu}, in.residual != nullptr, width});
  const Tensor y = width > 0 ? Tensor({images, in.x.value.dim(1) / 2, width / 2, C},
                                      in.x.value.dtype(), ctx.stream)
                             : empty_like(in.x.value);
  BatchNorm b{.stream = ctx.stream,
              .x = in.x,
              .gamma = in.gamma,
              .beta = {Tensor(), in.beta.slot},
              .residual = in.residual != nullptr ? Var{Tensor(), in.residual->slot} : Var{},
              .y = in.residual != nullptr && options.relu ? y : Tensor(),
              .which = width > 0 && ctx.tape != nullptr ? Tensor(y.shape(), DType::u8, ctx.stream)
                                                        : Tensor(),
              .images = images,
              .width = width};
  ctx.for_batches(images, [&](const Ctx& own, int64_t n0, int64_t n1) {
    const auto row = [&](int64_t n) { return images > 0 ? n * (pixels / images) : 0; };
    b.of.at(static_cast<size_t>(b.count++)) = numbers_of(own, in, options, row(n0), row(n1));
  });
  find_statistics(ctx.stream, in, options, {b.of.data(), static_cast<size_t>(b.count)});
  normalise(b, in, y);
  const auto backward = [b = std::move(b)](Tape& tape, const Tensor& dy) {
    differentiate(tape, b, dy);
  };
  return ctx.record(y, {&in.x, &in.gamma, &in.beta, in.residual}, backward);
}

}  // namespace expunge::nn
