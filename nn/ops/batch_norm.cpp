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

// A batch norm of x.
struct Norm {
  Var x{}, gamma{}, beta{};
  std::array<Normalised, kMostBatches> of{};
};

struct BatchNorm {
  Stream stream;
  std::array<Norm, 2> norms{};  // its own, and the shortcut's
  int norm_count = 1, batches = 0;
  Var residual{};
  Tensor y{};      // where something was added, and the ReLU's gradient is wanted
  Tensor which{};  // where it is pooled
  int64_t images, width;

  std::span<const Norm> all() const { return {norms.data(), static_cast<size_t>(norm_count)}; }
  // The output that begins where this value of x does, at the first of an image.
  int64_t output(int64_t value) const { return kernels::NormPool{width}.outputs(value); }
};

// What a kernel is given of each batch: as many at once as it takes.
template <class T>
class PerBatch {
 public:
  PerBatch(Stream stream, void (*kernel)(Stream, const kernels::Batches<T>&))
      : stream_(stream), kernel_(kernel) {}
  void add(const T& batch) {
    if (count_ == of_.size()) run();
    of_.at(count_++) = batch;
  }
  void run() {
    if (count_ > 0) kernel_(stream_, kernels::Batches<T>(std::span<const T>(of_.data(), count_)));
    count_ = 0;
  }

 private:
  Stream stream_;
  void (*kernel_)(Stream, const kernels::Batches<T>&);
  std::array<T, kMostBatches> of_{};
  size_t count_ = 0;
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

// Their gradients may be written at the same time.
bool apart(const Var& a, const Var& b) {
  return a.slot == Var::kNone || a.slot != b.slot;
}

void check(const BatchNormInputs& in, const BatchNormOptions& options) {
  EXPUNGE_CHECK(!options.pool || (in.residual == nullptr && in.shortcut == nullptr),
                "batch_norm: something is added to x {}, pooled", in.x.shape().str());
  if (const BatchNormInputs* other = in.shortcut; other != nullptr) {
    check(*other, {});
    EXPUNGE_CHECK(in.residual == nullptr && other->residual == nullptr &&
                      other->shortcut == nullptr && other->x.shape() == in.x.shape() &&
                      other->x.value.dtype() == in.x.value.dtype() && apart(other->x, in.x) &&
                      apart(other->gamma, in.gamma) && apart(other->beta, in.beta),
                  "batch_norm: a shortcut {} on x {}, expected another one of that shape, with "
                  "parameters of its own, and nothing else to add",
                  other->x.shape().str(), in.x.shape().str());
  }
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

using Statistics = PerBatch<kernels::BatchNormStatistics>;

// mean, invstd and line of all batches, in their order: each may move the running statistics, which
// evaluation reads.
void find_statistics(Stream stream, const BatchNormInputs& in, const BatchNormOptions& options,
                     std::span<Normalised> all, Statistics& by_batch) {
  const kernels::RunningStatistics running{in.running_mean.data(), in.running_var.data(),
                                           options.momentum};
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
    by_batch.run();
    kernels::batch_norm_known(
        stream, {n.shape.C, in.running_mean.data(), in.running_var.data(), options.eps,
                 in.gamma.value.data(), in.beta.value.data(), n.invstd.data(), n.line.data()});
    // another batch may move it before this one is differentiated
    if (all.size() > 1) n.mean = n.mean.clone();
  }
}

void normalise(const BatchNorm& b, const Tensor& y) {
  PerBatch<kernels::BatchNormApply> of(b.stream, kernels::batch_norm_apply);
  const auto& [own, other] = b.norms;
  const bool adds_other = b.norm_count > 1;
  const Tensor& added = adds_other ? other.x.value : b.residual.value;
  for (size_t k = 0; k < static_cast<size_t>(b.batches); ++k) {
    const Normalised& n = own.of[k];
    const int64_t first = b.output(n.first);
    of.add({.shape = n.shape,
            .x = from(own.x.value, n.first),
            .line = n.line.data(),
            .residual = from(added, n.first),
            .y = y.values().from(first),
            .pool = pool_from(b.which, b.width, first),
            .residual_line = adds_other ? other.of[k].line.data() : nullptr});
  }
  of.run();
}

// Of rows [p0, p1) of a batch.
kernels::BatchNormGradient gradient_of(const BatchNorm& b, const Norm& norm, const Normalised& n,
                                       const Tensor& dy, int64_t p0, int64_t p1) {
  const int64_t C = n.shape.C, at = n.first + p0 * C;
  return {.shape = {p1 - p0, C, n.shape.relu},
          .x = from(norm.x.value, at),
          .y = from(b.y, at),
          .dy = from(dy, b.output(at)),
          .mean = n.mean.data(),
          .invstd = n.invstd.data(),
          .line = n.line.data(),
          .pool = pool_from(b.which, b.width, b.output(at))};
}

// Gradients of gamma and beta slice by slice.
void add_slices(Tape& tape, const BatchNorm& b, const Norm& norm, const Tensor& dy) {
  EXPUNGE_CHECK(b.batches == 1, "batch_norm: slices of {} batches", b.batches);
  const Normalised& n = norm.of[0];
  const int64_t C = n.shape.C, pixels = n.shape.pixels / b.images;
  const Tensor slice(Shape{4 * C}, DType::f32, b.stream);  // (2, C) doubles
  double *sum_g = static_cast<double*>(slice.bytes()), *sum_gx = sum_g + C;
  const auto parts = [&](const double* part) {
    return [&, part](Stream, int64_t n0, int64_t n1, const GradSink& sink) {
      kernels::batch_norm_sums(
          b.stream, kernels::BatchNormSums{gradient_of(b, norm, n, dy, n0 * pixels, n1 * pixels),
                                           sum_g, sum_gx});
      kernels::add_sums(b.stream, C, part, sink.beta, sink.grad.data());
    };
  };
  if (norm.beta.wants_grad()) tape.add_parts(norm.beta, {b.images}, parts(sum_g));
  if (norm.gamma.wants_grad()) tape.add_parts(norm.gamma, {b.images}, parts(sum_gx));
}

// Gradients by x and the residual go to the sinks, which are of all batches.
kernels::BatchNormBackward terms_of(Tape& tape, const BatchNorm& b, const Norm& norm, int batch,
                                    const Tensor& dy, const GradSink& dx,
                                    const GradSink& dresidual) {
  const Normalised& n = norm.of[static_cast<size_t>(batch)];
  const auto whole = [&](const Var& parameter) {
    return parameter.wants_grad() && !tape.watches_slices() ? tape.sink_of(parameter, batch)
                                                            : GradSink{};
  };
  const GradSink dgamma = whole(norm.gamma), dbeta = whole(norm.beta);
  const auto to = [&](const GradSink& sink) {
    return sink.grad ? sink.grad.values().from(n.first) : Values{};
  };
  return {.in = gradient_of(b, norm, n, dy, 0, n.shape.pixels),
          .gamma = norm.gamma.value.data(),
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
  PerBatch<kernels::BatchNormBackward> terms(b.stream, kernels::batch_norm_backward);
  for (const Norm& norm : b.all()) {
    // in the order of writing: the residual may be x
    const bool adds = &norm == b.norms.data() && b.residual.wants_grad();
    if (!adds && !norm.x.wants_grad() && !norm.gamma.wants_grad() && !norm.beta.wants_grad())
      continue;
    const GradSink dresidual = adds ? tape.sink(b.residual) : GradSink{};
    const GradSink dx = norm.x.wants_grad() ? tape.sink(norm.x) : GradSink{};
    for (int k = 0; k < b.batches; ++k) terms.add(terms_of(tape, b, norm, k, dy, dx, dresidual));
    if (tape.watches_slices()) add_slices(tape, b, norm, dy);
  }
  terms.run();
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
    ctx.trace->batch_norm.push_back(
        {{pixels, C, options.relu}, in.residual != nullptr || in.shortcut != nullptr, width});
  const Tensor y = width > 0 ? Tensor({images, in.x.value.dim(1) / 2, width / 2, C},
                                      in.x.value.dtype(), ctx.stream)
                             : empty_like(in.x.value);
  const bool adds = in.residual != nullptr || in.shortcut != nullptr;
  BatchNorm b{.stream = ctx.stream,
              .residual = in.residual != nullptr ? *in.residual : Var{},
              .y = adds && options.relu ? y : Tensor(),
              .which = width > 0 && ctx.tape != nullptr ? Tensor(y.shape(), DType::u8, ctx.stream)
                                                        : Tensor(),
              .images = images,
              .width = width};
  Statistics by_batch(ctx.stream, kernels::batch_norm_statistics);
  const auto add_norm = [&](const BatchNormInputs& of, Norm& norm) {
    norm.x = of.x, norm.gamma = of.gamma, norm.beta = {Tensor(), of.beta.slot};
    b.batches = 0;
    ctx.for_batches(images, [&](const Ctx& own, int64_t n0, int64_t n1) {
      const auto row = [&](int64_t n) { return images > 0 ? n * (pixels / images) : 0; };
      norm.of.at(static_cast<size_t>(b.batches++)) = numbers_of(own, of, options, row(n0), row(n1));
    });
    find_statistics(ctx.stream, of, options, {norm.of.data(), static_cast<size_t>(b.batches)},
                    by_batch);
  };
  add_norm(in, b.norms[0]);
  if (in.shortcut != nullptr) add_norm(*in.shortcut, b.norms[1]), b.norm_count = 2;
  by_batch.run();
  normalise(b, y);
  b.residual.value = Tensor();  // its gradient needs no value
  const auto backward = [b = std::move(b)](Tape& tape, const Tensor& dy) {
    differentiate(tape, b, dy);
  };
  const BatchNormInputs none{}, &other = in.shortcut != nullptr ? *in.shortcut : none;
  return ctx.record(
      y, {&in.x, &in.gamma, &in.beta, in.residual, &other.x, &other.gamma, &other.beta}, backward);
}

}  // namespace expunge::nn
