#pragma once

#include "nn/network.h"
#include "nn/ops.h"
#include "nn/resnet.h"

// Networks small enough for golden files; tools/golden.py has the first two in PyTorch,
// tools/golden_unlearn.py the last in numpy.
namespace expunge::test {

class TinyResNet final : public nn::Network {
 public:
  TinyResNet(ParamStore& params, const nn::InputSpec& spec)
      : conv1_(params, "conv1", 3, 6, {}),
        bn1_(params, "bn1", 6),
        block_(params, "block", 6, 8, 2),
        fc_(params, "fc", 8, spec.classes) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    const Var h = block_(ctx, bn1_.relu(ctx, conv1_(ctx, x)));
    return fc_(ctx, nn::global_average_pool2d(ctx, h));
  }

 private:
  nn::Conv2dLayer conv1_;
  nn::BatchNormLayer bn1_;
  nn::BasicBlock block_;
  nn::LinearLayer fc_;
};

class TinyVgg final : public nn::Network {
 public:
  TinyVgg(ParamStore& params, const nn::InputSpec& spec)
      : conv_{{params, "conv", 3, 6, {.bias = true}}, {params, "bn", 6}},
        fc1_(params, "fc1", 2 * 2 * 6, 7, {2, 2, 6}),
        fc2_(params, "fc2", 7, spec.classes) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    const Var h = conv_.relu_pool(ctx, x);
    const Var flat = nn::flatten(ctx, nn::adaptive_average_pool2d(ctx, h, 2, 2));
    return fc2_(ctx, nn::relu(ctx, fc1_(ctx, flat)));
  }

 private:
  nn::ConvBatchNorm conv_;
  nn::LinearLayer fc1_, fc2_;
};

// With five classes, for what needs some model with a convolution, batch norm and linear layers.
inline nn::Model tiny() {
  nn::Model model =
      nn::build<TinyVgg>("tiny", {.height = 8, .width = 8, .channels = 3, .classes = 5});
  nn::initialise(model.params, nn::Init::pytorch, 3);
  return model;
}

class TinyCnn final : public nn::Network {
 public:
  TinyCnn(ParamStore& params, const nn::InputSpec& spec)
      : conv1_(params, "conv1", 3, 6, {}),
        bn1_(params, "bn1", 6),
        conv2_(params, "conv2", 6, 8, {.stride = 2}),
        bn2_(params, "bn2", 8),
        fc_(params, "fc", 8, spec.classes) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    const Var h = bn1_.relu(ctx, conv1_(ctx, x));
    return fc_(ctx, nn::global_average_pool2d(ctx, bn2_.relu(ctx, conv2_(ctx, h))));
  }

 private:
  nn::Conv2dLayer conv1_;
  nn::BatchNormLayer bn1_;
  nn::Conv2dLayer conv2_;
  nn::BatchNormLayer bn2_;
  nn::LinearLayer fc_;
};

// A block of a residual network with a shortcut of its own: one operation of both batch norms, or
// two.
template <bool together>
class ShortcutBlock final : public nn::Network {
 public:
  ShortcutBlock(ParamStore& params, const nn::InputSpec& spec)
      : conv_{{params, "conv", 3, 8, {}}, {params, "bn", 8}},
        shortcut_{{params, "shortcut", 3, 8, {.kernel = 1, .pad = 0}}, {params, "shortcut_bn", 8}},
        fc_(params, "fc", 8, spec.classes) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    const Var h =
        together ? conv_.add_relu(ctx, x, shortcut_, x) : conv_.add_relu(ctx, x, shortcut_(ctx, x));
    return fc_(ctx, nn::global_average_pool2d(ctx, h));
  }

 private:
  nn::ConvBatchNorm conv_, shortcut_;
  nn::LinearLayer fc_;
};

// A network that draws: a recorded step must read the key of its own time, a joint pass each
// batch's own.
class Dropping final : public nn::Network {
 public:
  Dropping(ParamStore& params, const nn::InputSpec& spec) : net_(params, spec) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    return net_.forward(ctx, nn::dropout(ctx, x, 0.25f, 1));
  }

 private:
  TinyResNet net_;
};

}  // namespace expunge::test
