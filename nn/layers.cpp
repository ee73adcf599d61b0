#include "nn/layers.h"

namespace expunge::nn {

Conv2dLayer::Conv2dLayer(ParamStore& params, const std::string& name, int64_t in, int64_t out,
                         Options o)
    : weight_(params.add_parameter({.name = name + ".weight",
                                    .shape = {out, o.kernel, o.kernel, in},
                                    .layout = Layout::krsc})),
      options_{.stride = o.stride, .pad = o.pad} {
  if (o.bias)
    bias_ = params.add_parameter({.name = name + ".bias", .shape = {out}, .role = Role::bias});
}

Var Conv2dLayer::operator()(const Ctx& ctx, const Var& x) const {
  if (bias_ < 0) return conv2d(ctx, x, ctx.param(weight_), nullptr, options_);
  const Var bias = ctx.param(bias_);
  return conv2d(ctx, x, ctx.param(weight_), &bias, options_);
}

Var Conv2dLayer::batch_norm(const Ctx& ctx, const BatchNormInputs& in,
                            BatchNormOptions options) const {
  const Var bias = bias_ < 0 ? Var{} : ctx.param(bias_);
  return conv2d_batch_norm(ctx, ctx.param(weight_), bias_ < 0 ? nullptr : &bias, options_, in,
                           options);
}

BatchNormLayer::BatchNormLayer(ParamStore& params, const std::string& name, int64_t channels)
    : weight_(params.add_parameter(
          {.name = name + ".weight", .shape = {channels}, .role = Role::norm})),
      bias_(
          params.add_parameter({.name = name + ".bias", .shape = {channels}, .role = Role::norm})),
      mean_(params.add_statistic({.name = name + ".running_mean", .shape = {channels}})),
      var_(params.add_statistic({.name = name + ".running_var", .shape = {channels}})) {}

BatchNormInputs BatchNormLayer::inputs(const Ctx& ctx, const Var& x, const Var* residual) const {
  return {.x = x,
          .gamma = ctx.param(weight_),
          .beta = ctx.param(bias_),
          .running_mean = ctx.params->statistic(mean_),
          .running_var = ctx.params->statistic(var_),
          .residual = residual};
}

Var ConvBatchNorm::add_relu(const Ctx& ctx, const Var& x, const ConvBatchNorm& shortcut,
                            const Var& from) const {
  if (ctx.evaluates()) return add_relu(ctx, x, shortcut(ctx, from));
  const BatchNormInputs other = shortcut.bn.inputs(ctx, shortcut.conv(ctx, from), nullptr);
  BatchNormInputs in = bn.inputs(ctx, conv(ctx, x), nullptr);
  in.shortcut = &other;
  return batch_norm(ctx, in, {.relu = true});
}

LinearLayer::LinearLayer(ParamStore& params, const std::string& name, int64_t in, int64_t out,
                         Shape map)
    : weight_(params.add_parameter({.name = name + ".weight",
                                    .shape = {out, in},
                                    .layout = map.rank() == 3 ? Layout::after_map : Layout::plain,
                                    .map = map})),
      bias_(params.add_parameter({.name = name + ".bias", .shape = {out}, .role = Role::bias})) {}

Var LinearLayer::operator()(const Ctx& ctx, const Var& x) const {
  const Var bias = ctx.param(bias_);
  return linear(ctx, x, ctx.param(weight_), &bias);
}

}  // namespace expunge::nn
