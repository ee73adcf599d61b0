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

SmallCnn::SmallCnn(ParamStore& params, const InputSpec& s)
    : c1_{{params, "conv1", s.channels, 32, {}}, {params, "bn1", 32}},
      c2_{{params, "conv2", 32, 32, {}}, {params, "bn2", 32}},
      c3_{{params, "conv3", 32, 64, {}}, {params, "bn3", 64}},
      c4_{{params, "conv4", 64, 64, {}}, {params, "bn4", 64}},
      c5_{{params, "conv5", 64, 128, {}}, {params, "bn5", 128}},
      fc_(params, "fc", 128, s.classes) {}

Var SmallCnn::forward(const Ctx& ctx, const Var& x) const {
  Var h = c2_.relu_pool(ctx, c1_.relu(ctx, x));
  h = c4_.relu_pool(ctx, c3_.relu(ctx, h));
  return fc_(ctx, global_average_pool2d(ctx, c5_.relu(ctx, h)));
}

}  // namespace expunge::nn
