#include "kernels/loss.h"

#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "nn/ops.h"

namespace expunge::nn {
namespace {

// The mean of a batch's losses. run(losses, gradient) fills both in one pass, gradient where it is
// wanted.
template <class Run>
Var batch_mean(const Ctx& ctx, const Var& x, Tensor* losses_out, Run run) {
  const int64_t N = x.value.dim(0);
  EXPUNGE_CHECK(N > 0, "loss: the batch is empty, {}", x.shape().str());
  const bool wanted = ctx.tape != nullptr && x.wants_grad();
  Tensor losses(Shape{N}, DType::f32, ctx.stream),
      gradient = wanted ? empty_like(x.value) : Tensor(), mean(Shape{1}, DType::f32, ctx.stream);
  run(losses.data(), gradient.data());
  kernels::sum_to(ctx.stream, kernels::Term::value, N, losses.data(), static_cast<double>(N),
                  mean.data());
  if (losses_out != nullptr) *losses_out = losses;
  return ctx.record(std::move(mean), {&x},
                    [=, slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      const auto [dx, beta] = tape.sink({{}, slot});
                      kernels::chain(stream, gradient.size(), dy.data(), static_cast<float>(N),
                                     gradient.data(), beta, dx.data());
                    });
}

void check_rows(const char* op, const Var& x, const Tensor& other) {
  EXPUNGE_CHECK(x.value.rank() == 2 && other.shape() == x.shape(),
                "{}: needs two (N, C), got {} and {}", op, x.shape().str(), other.shape().str());
}

}  // namespace

void check_labels(const Tensor& labels, int64_t classes) {
  if (!labels || labels.stream().device != Device::cpu) return;
  for (int64_t i = 0; i < labels.size(); ++i)
    EXPUNGE_CHECK(labels.as<int32_t>()[i] >= 0 && labels.as<int32_t>()[i] < classes,
                  "label {} of {} classes", labels.as<int32_t>()[i], classes);
}

Var cross_entropy(const Ctx& ctx, const Var& logits, const Tensor& labels, float smoothing,
                  Tensor* losses) {
  EXPUNGE_CHECK(logits.value.rank() == 2 && labels.shape() == Shape{logits.value.dim(0)},
                "cross_entropy: logits (N, C) and labels (N), got {} and {}", logits.shape().str(),
                labels.shape().str());
  EXPUNGE_CHECK(smoothing >= 0.0f && smoothing < 1.0f,
                "cross_entropy: smoothing must be in [0, 1), got {}", smoothing);
  const int64_t N = logits.value.dim(0), C = logits.value.dim(1);
  check_labels(labels, C);
  const Tensor there = labels.to(ctx.stream);
  return batch_mean(ctx, logits, losses, [&](float* out, float* gradient) {
    kernels::softmax_xent(ctx.stream,
                          {.N = N,
                           .C = C,
                           .logits = logits.value.data(),
                           .labels = there.as<int32_t>(),
                           .smoothing = smoothing},
                          out, gradient);
  });
}

Var soft_cross_entropy(const Ctx& ctx, const Var& logits, const Tensor& targets, Tensor* losses) {
  check_rows("soft_cross_entropy", logits, targets);
  const Tensor there = targets.to(ctx.stream);
  return batch_mean(ctx, logits, losses, [&](float* out, float* gradient) {
    kernels::softmax_xent(ctx.stream,
                          {.N = logits.value.dim(0),
                           .C = logits.value.dim(1),
                           .logits = logits.value.data(),
                           .soft_targets = there.data()},
                          out, gradient);
  });
}

Var kl_divergence(const Ctx& ctx, const Var& student, const Tensor& teacher, float temperature,
                  Tensor* losses) {
  check_rows("kl_divergence", student, teacher);
  EXPUNGE_CHECK(temperature > 0.0f, "kl_divergence: temperature must be positive, got {}",
                temperature);
  return batch_mean(ctx, student, losses, [&](float* out, float* gradient) {
    kernels::softmax_kl(ctx.stream, student.value.dim(0), student.value.dim(1),
                        student.value.data(), teacher.data(), temperature, out, gradient);
  });
}

Var scrub(const Ctx& ctx, const Var& student, const Tensor& teacher, Tensor* losses) {
  check_rows("scrub", student, teacher);
  return batch_mean(ctx, student, losses, [&](float* out, float* gradient) {
    kernels::softmax_scrub(ctx.stream, student.value.dim(0), student.value.dim(1),
                           student.value.data(), teacher.data(), out, gradient);
  });
}

Var mse(const Ctx& ctx, const Var& x, const Tensor& targets, Tensor* losses) {
  check_rows("mse", x, targets);
  const Tensor there = targets.to(ctx.stream);
  return batch_mean(ctx, x, losses, [&](float* out, float* gradient) {
    kernels::squared_error(ctx.stream, x.value.dim(0), x.value.dim(1), x.value.data(), there.data(),
                           out, gradient);
  });
}

Var l1(const Ctx& ctx, const Var& x) {
  Tensor y(Shape{1}, DType::f32, ctx.stream);
  kernels::sum_to(ctx.stream, kernels::Term::absolute, x.value.size(), x.value.data(), 1.0,
                  y.data());
  return ctx.record(std::move(y), {&x}, [=, stream = ctx.stream](Tape& tape, const Tensor& dy) {
    const auto [dx, beta] = tape.sink(x);
    kernels::chain_sign(stream, dx.size(), dy.data(), x.value.data(), beta, dx.data());
  });
}

Var l2(const Ctx& ctx, const Var& x) {
  Tensor y(Shape{1}, DType::f32, ctx.stream);
  kernels::sum_to(ctx.stream, kernels::Term::square, x.value.size(), x.value.data(), 2.0, y.data());
  return ctx.record(std::move(y), {&x}, [=, stream = ctx.stream](Tape& tape, const Tensor& dy) {
    const auto [dx, beta] = tape.sink(x);
    kernels::chain(stream, dx.size(), dy.data(), 1.0f, x.value.data(), beta, dx.data());
  });
}

}  // namespace expunge::nn
