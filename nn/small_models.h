#pragma once

#include "nn/layers.h"

namespace expunge::nn {

// y = x w^T + b on flattened inputs: linear regression.
class LinearModel final : public Network {
 public:
  LinearModel(ParamStore& params, const InputSpec& spec);
  Var forward(const Ctx& ctx, const Var& x) const override;

 private:
  LinearLayer fc_;
};

// flatten, linear 256, ReLU, linear 128, ReLU, linear
class Mlp final : public Network {
 public:
  Mlp(ParamStore& params, const InputSpec& spec);
  Var forward(const Ctx& ctx, const Var& x) const override;

 private:
  LinearLayer fc1_, fc2_, fc3_;
};

// 3x3 convolution + batch norm + ReLU: 32, 32, pool, 64, 64, pool, 128; global average; linear
class SmallCnn final : public Network {
 public:
  SmallCnn(ParamStore& params, const InputSpec& spec);
  Var forward(const Ctx& ctx, const Var& x) const override;

 private:
  ConvBatchNorm c1_, c2_, c3_, c4_, c5_;
  LinearLayer fc_;
};

}  // namespace expunge::nn
