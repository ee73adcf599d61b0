#include "nn/small_models.h"

namespace expunge::nn {

LinearModel::LinearModel(ParamStore& params, const InputSpec& s)
    : fc_(params, "fc", s.height * s.width * s.channels, s.classes,
          {s.height, s.width, s.channels}) {}

Var LinearModel::forward(const Ctx& ctx, const Var& x) const {
  return fc_(ctx, flatten(ctx, x));
}

Mlp::Mlp(ParamStore& params, const InputSpec& s)
    : fc1_(params, "fc1", s.height * s.width * s.channels, 256, {s.height, s.width, s.channels}),
      fc2_(params, "fc2", 256, 128),
      fc3_(params, "fc3", 128, s.classes) {}

Var Mlp::forward(const Ctx& ctx, const Var& x) const {
  const Var h = relu(ctx, fc1_(ctx, flatten(ctx, x)));
  return fc3_(ctx, relu(ctx, fc2_(ctx, h)));
}

SmallCnn::ConvBn::ConvBn(ParamStore& params, int number, int64_t in, int64_t out)
    : conv(params, "conv" + std::to_string(number), in, out, {}),
      bn(params, "bn" + std::to_string(number), out) {}

SmallCnn::SmallCnn(ParamStore& params, const InputSpec& s)
    : c1_(params, 1, s.channels, 32),
      c2_(params, 2, 32, 32),
      c3_(params, 3, 32, 64),
      c4_(params, 4, 64, 64),
      c5_(params, 5, 64, 128),
      fc_(params, "fc", 128, s.classes) {}

Var SmallCnn::forward(const Ctx& ctx, const Var& x) const {
  Var h = max_pool2d(ctx, c2_(ctx, c1_(ctx, x)));
  h = max_pool2d(ctx, c4_(ctx, c3_(ctx, h)));
  return fc_(ctx, global_average_pool2d(ctx, c5_(ctx, h)));
}

}  // namespace expunge::nn
