#pragma once

#include <optional>
#include <vector>

#include "nn/layers.h"

namespace expunge::nn {

// Two 3x3 convolutions and the way round them (He et al. 2016, "basic block"):
//   y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)),  shortcut 1x1 convolution + batch
//   norm, or x itself
class BasicBlock {
 public:
  BasicBlock(ParamStore& params, const std::string& name, int64_t in, int64_t out, int64_t stride);
  Var operator()(const Ctx& ctx, const Var& x) const;

 private:
  ConvBatchNorm first_, second_;
  std::optional<ConvBatchNorm> downsample_;
};

// ResNet18 with the stem for 32x32 images: 3x3 convolution of stride 1, no pooling. Names as in
// torchvision.
class ResNet18 final : public Network {
 public:
  ResNet18(ParamStore& params, const InputSpec& spec);
  Var forward(const Ctx& ctx, const Var& x) const override;

 private:
  ConvBatchNorm stem_;
  std::vector<BasicBlock> blocks_;
  LinearLayer fc_;
};

}  // namespace expunge::nn
