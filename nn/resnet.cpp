#include "nn/resnet.h"

namespace expunge::nn {

BasicBlock::BasicBlock(ParamStore& params, const std::string& name, int64_t in, int64_t out,
                       int64_t stride)
    : first_{{params, name + ".conv1", in, out, {.stride = stride}}, {params, name + ".bn1", out}},
      second_{{params, name + ".conv2", out, out, {}}, {params, name + ".bn2", out}} {
  if (stride != 1 || in != out)
    downsample_.emplace(ConvBatchNorm{
        {params, name + ".downsample.0", in, out, {.kernel = 1, .stride = stride, .pad = 0}},
        {params, name + ".downsample.1", out}});
}

Var BasicBlock::operator()(const Ctx& ctx, const Var& x) const {
  const Var h = first_.relu(ctx, x);
  return downsample_ ? second_.add_relu(ctx, h, *downsample_, x) : second_.add_relu(ctx, h, x);
}

ResNet18::ResNet18(ParamStore& params, const InputSpec& s)
    : stem_{{params, "conv1", s.channels, 64, {}}, {params, "bn1", 64}},
      blocks_([&] {
        std::vector<BasicBlock> blocks;
        int64_t in = 64;
        for (int layer = 1; layer <= 4; ++layer)
          for (int b = 0; b < 2; ++b) {
            const int64_t out = 64 << (layer - 1), stride = layer > 1 && b == 0 ? 2 : 1;
            blocks.emplace_back(params, "layer" + std::to_string(layer) + "." + std::to_string(b),
                                in, out, stride);
            in = out;
          }
        return blocks;
      }()),
      fc_(params, "fc", 512, s.classes) {}

Var ResNet18::forward(const Ctx& ctx, const Var& x) const {
  Var h = stem_.relu(ctx, x);
  for (const BasicBlock& block : blocks_) h = block(ctx, h);
  return fc_(ctx, global_average_pool2d(ctx, h));
}

}  // namespace expunge::nn
