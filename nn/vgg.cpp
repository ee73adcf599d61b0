#include "nn/vgg.h"

namespace expunge::nn {

Vgg16::Vgg16(ParamStore& params, const InputSpec& spec, bool conv_bias, bool last_pool) {
  constexpr int kPool = 0;
  constexpr int kWidths[] = {64,    64,  kPool, 128, 128,   kPool, 256, 256, 256,
                             kPool, 512, 512,   512, kPool, 512,   512, 512, kPool};
  int64_t in = spec.channels;
  int index = 0;  // in PyTorch's Sequential: convolution, batch norm, ReLU, pool each count
  for (const int& width : kWidths) {
    if (width == kPool) {
      const bool last = &width == std::end(kWidths) - 1;
      stages_.back().pool = !last || last_pool;
      ++index;
      continue;
    }
    const std::string conv = "features." + std::to_string(index),
                      bn = "features." + std::to_string(index + 1);
    stages_.push_back(
        {{{params, conv, in, width, {.bias = conv_bias}}, {params, bn, width}}, false});
    in = width;
    index += 3;
  }
}

Var Vgg16::features(const Ctx& ctx, const Var& x) const {
  Var h = x;
  for (const Stage& stage : stages_)
    h = stage.pool ? stage.conv.relu_pool(ctx, h) : stage.conv.relu(ctx, h);
  return h;
}

Vgg16Bn::Vgg16Bn(ParamStore& params, const InputSpec& spec)
    : Vgg16(params, spec, /*conv_bias=*/false, /*last_pool=*/false),
      fc1_(params, "classifier.0", 2 * 2 * 512, 256, {2, 2, 512}),
      fc2_(params, "classifier.2", 256, 256),
      fc3_(params, "classifier.4", 256, spec.classes) {}

Var Vgg16Bn::forward(const Ctx& ctx, const Var& x) const {
  const Var h = flatten(ctx, adaptive_average_pool2d(ctx, features(ctx, x), 2, 2));
  return fc3_(ctx, relu(ctx, fc2_(ctx, relu(ctx, fc1_(ctx, h)))));
}

Vgg16BnLth::Vgg16BnLth(ParamStore& params, const InputSpec& spec)
    : Vgg16(params, spec, /*conv_bias=*/true, /*last_pool=*/true),
      fc_(params, "classifier", 512, spec.classes) {}

Var Vgg16BnLth::forward(const Ctx& ctx, const Var& x) const {
  return fc_(ctx, global_average_pool2d(ctx, features(ctx, x)));
}

}  // namespace expunge::nn
