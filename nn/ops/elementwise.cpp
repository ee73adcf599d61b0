#include "kernels/elementwise.h"

#include <array>
#include <span>

#include "kernels/elementwise_math.h"
#include "nn/ops.h"

namespace expunge::nn {
namespace {

template <class F>  // F::f(x) and F::df(x, y), as math::Sigmoid
Var elementwise(const Ctx& ctx, const Var& any) {
  const Var x = cast(ctx, any, DType::f32);
  Tensor y = empty_like(x.value);
  kernels::elementwise<F>(ctx.stream, y.size(), x.value.data(), y.data());
  return ctx.record(y, {&x}, [=, stream = ctx.stream](Tape& tape, const Tensor& dy) {
    const auto [dx, beta] = tape.sink(x);
    kernels::elementwise_backward<F>(stream, y.size(), x.value.data(), y.data(), dy.data(), beta,
                                     dx.data());
  });
}

// y = factor x; the gradient of addition, scaling and reshaping alike
void add_to_sink(Tape& tape, Stream stream, const Var& x, const Tensor& dy, float factor) {
  if (!x.wants_grad()) return;
  const auto [dx, beta] = tape.sink(x);
  kernels::axpby(stream, dy.size(), factor, dy.data(), beta, dx.data());
}

// Elements of a batch in a dropout's input, and the key of their draws.
struct Dropped {
  int64_t first = 0, n = 0;
  kernels::DropoutKey key{};
};

}  // namespace

Var relu(const Ctx& ctx, const Var& x) {
  return elementwise<math::Relu>(ctx, x);
}
Var sigmoid(const Ctx& ctx, const Var& x) {
  return elementwise<math::Sigmoid>(ctx, x);
}
Var tanh(const Ctx& ctx, const Var& x) {
  return elementwise<math::Tanh>(ctx, x);
}
Var gelu(const Ctx& ctx, const Var& x) {
  return elementwise<math::Gelu>(ctx, x);
}

Var add(const Ctx& ctx, const Var& any_a, const Var& any_b) {
  const Var a = cast(ctx, any_a, DType::f32), b = cast(ctx, any_b, DType::f32);
  EXPUNGE_CHECK(a.shape() == b.shape(), "add: {} and {} differ in shape", a.shape().str(),
                b.shape().str());
  Tensor y = empty_like(a.value);
  kernels::add(ctx.stream, y.size(), a.value.data(), b.value.data(), y.data());
  const int slot_a = a.slot, slot_b = b.slot;
  return ctx.record(std::move(y), {&a, &b}, [=, stream = ctx.stream](Tape& tape, const Tensor& dy) {
    add_to_sink(tape, stream, {{}, slot_a}, dy, 1.0f);
    add_to_sink(tape, stream, {{}, slot_b}, dy, 1.0f);
  });
}

Var scale(const Ctx& ctx, const Var& any, float factor) {
  const Var x = cast(ctx, any, DType::f32);
  Tensor y = empty_like(x.value);
  kernels::axpby(ctx.stream, y.size(), factor, x.value.data(), 0.0f, y.data());
  return ctx.record(std::move(y), {&x},
                    [=, slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      add_to_sink(tape, stream, {{}, slot}, dy, factor);
                    });
}

Var flatten(const Ctx& ctx, const Var& any) {
  const Var x = cast(ctx, any, DType::f32);
  EXPUNGE_CHECK(x.value.rank() >= 1 && x.value.dim(0) > 0, "flatten: x must be (N, ...), got {}",
                x.shape().str());
  const int64_t N = x.value.dim(0);
  return ctx.record(x.value.reshape({N, x.value.size() / N}), {&x},
                    [slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      add_to_sink(tape, stream, {{}, slot}, dy, 1.0f);
                    });
}

Var rows(const Ctx& ctx, const Var& any, int64_t begin, int64_t end) {
  const Var x = cast(ctx, any, DType::f32);
  EXPUNGE_CHECK(x.value.rank() == 2 && begin >= 0 && begin <= end && end <= x.value.dim(0),
                "rows: [{}, {}) of {}", begin, end, x.shape().str());
  const int64_t C = x.value.dim(1);
  return ctx.record(x.value.slice(begin * C, {end - begin, C}), {&x},
                    [=, slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      const auto [dx, beta] = tape.sink({{}, slot});
                      if (beta == 0.0f) dx.zero();  // the rows that this is not about
                      kernels::axpby(stream, dy.size(), 1.0f, dy.data(), beta,
                                     dx.data() + begin * C);
                    });
}

Var dropout(const Ctx& ctx, const Var& any, float p, int layer) {
  EXPUNGE_CHECK(p >= 0.0f && p < 1.0f, "dropout: p must be in [0, 1), got {}", p);
  if (ctx.mode == Mode::eval || p == 0.0f) return any;
  const Var x = cast(ctx, any, DType::f32);
  std::array<Dropped, 2> batches{};  // one, or two of a joint pass
  size_t count = 0;
  const int64_t images = x.value.dim(0);
  ctx.for_batches(images, [&](const Ctx& own, int64_t n0, int64_t n1) {
    EXPUNGE_CHECK(own.scalars != nullptr,
                  "dropout: training needs ctx.scalars for the key of its draws (p {})", p);
    const int64_t of_image = images > 0 ? x.value.size() / images : 0;
    batches.at(count++) = {
        n0 * of_image, (n1 - n0) * of_image, {*own.scalars, layer, own.scalars_there}};
  });
  const auto drop = [=, stream = ctx.stream](const float* from, float beta, float* to) {
    for (const Dropped& b : std::span(batches).first(count))
      kernels::dropout(stream, b.n, p, b.key, from + b.first, beta, to + b.first);
  };
  const Tensor y = empty_like(x.value);
  drop(x.value.data(), 0.0f, y.data());
  return ctx.record(y, {&x}, [=, slot = x.slot](Tape& tape, const Tensor& dy) {
    const auto [dx, beta] = tape.sink({{}, slot});
    drop(dy.data(), beta, dx.data());
  });
}

}  // namespace expunge::nn
