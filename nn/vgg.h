#pragma once

#include <vector>

#include "nn/layers.h"

namespace expunge::nn {

// VGG16 with batch norm for 32x32 images (Simonyan & Zisserman 2015): 3x3 convolutions
// 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512, M a 2x2 max-pool. Names as in
// torchvision.
class Vgg16 : public Network {
 protected:
  Vgg16(ParamStore& params, const InputSpec& spec, bool conv_bias, bool last_pool);
  Var features(const Ctx& ctx, const Var& x) const;

 private:
  struct Stage {
    ConvBatchNorm conv;
    bool pool;  // after it
  };
  std::vector<Stage> stages_;
};

// The paper's network: convolutions without bias, four pools, adaptive average pool 2x2, head
// 2048-256-256-10.
class Vgg16Bn final : public Vgg16 {
 public:
  Vgg16Bn(ParamStore& params, const InputSpec& spec);
  Var forward(const Ctx& ctx, const Var& x) const override;

 private:
  LinearLayer fc1_, fc2_, fc3_;
};

// The lottery-ticket family's (SalUn and others): convolutions with bias, five pools, one linear
// layer.
class Vgg16BnLth final : public Vgg16 {
 public:
  Vgg16BnLth(ParamStore& params, const InputSpec& spec);
  Var forward(const Ctx& ctx, const Var& x) const override;

 private:
  LinearLayer fc_;
};

}  // namespace expunge::nn
