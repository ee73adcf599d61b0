#include "kernels/cast.h"

#include <algorithm>

#include "kernels/precision.h"
#include "nn/ops.h"

namespace expunge::nn {

Var cast(const Ctx& ctx, const Var& x, DType type, int64_t channels) {
  EXPUNGE_CHECK(x.value.rank() >= 1, "cast: x must have channels, got {}", x.shape().str());
  const int last = x.value.rank() - 1;
  const int64_t C = x.value.dim(last), to = std::max(C, channels);
  if (x.value.dtype() == type && to == C) return x;
  Shape shape;
  for (int i = 0; i < last; ++i) shape.push_back(x.value.dim(i));
  shape.push_back(to);
  const int64_t rows = shape.size() / std::max<int64_t>(1, to);
  Tensor y(shape, type, ctx.stream);
  kernels::cast(ctx.stream, {rows, C, to}, x.value.values(), 0.0f, y.values());
  return ctx.record(std::move(y), {&x},
                    [=, slot = x.slot, stream = ctx.stream](Tape& tape, const Tensor& dy) {
                      const auto [dx, beta] = tape.sink({{}, slot});
                      kernels::cast(stream, {rows, to, C}, dy.values(), beta, dx.values());
                    });
}

Tensor as_f32(const Tensor& x) {
  return cast({.stream = x.stream()}, {x, Var::kNone}, DType::f32).value;
}

Tensor params16(const ParamStore& params) {
  const DType type = kernels::activation_type();
  const Tensor values = params.values();
  if (!is_16_bit(type)) return {};
  return cast({.stream = values.stream()}, {values, Var::kNone}, type).value;
}

}  // namespace expunge::nn
