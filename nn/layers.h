#pragma once

#include <string>

#include "nn/network.h"
#include "nn/ops.h"

// Layers: names and shapes of parameters when they are built, one call of an op when they run. They
// hold indices into a ParamStore, so one network runs on any store of its layout.
namespace expunge::nn {

struct Conv2dLayer {
  struct Options {
    int64_t kernel = 3, stride = 1, pad = 1;
    bool bias = false;
  };
  Conv2dLayer(ParamStore& params, const std::string& name, int64_t in, int64_t out,
              Options options);
  Var operator()(const Ctx& ctx, const Var& x) const;
  // With a batch norm behind it; in.x is what the convolution reads.
  Var batch_norm(const Ctx& ctx, const BatchNormInputs& in, BatchNormOptions options) const;

 private:
  int weight_, bias_ = -1;
  Conv2dOptions options_;
};

// Batch norm, with the residual add and the ReLU that follow it where the call says so.
struct BatchNormLayer {
  BatchNormLayer(ParamStore& params, const std::string& name, int64_t channels);
  Var operator()(const Ctx& ctx, const Var& x) const { return apply(ctx, x, nullptr, false); }
  Var relu(const Ctx& ctx, const Var& x) const { return apply(ctx, x, nullptr, true); }
  Var add_relu(const Ctx& ctx, const Var& x, const Var& residual) const {
    return apply(ctx, x, &residual, true);
  }
  BatchNormInputs inputs(const Ctx& ctx, const Var& x, const Var* residual) const;

 private:
  Var apply(const Ctx& ctx, const Var& x, const Var* residual, bool relu) const {
    return batch_norm(ctx, inputs(ctx, x, residual), {.relu = relu});
  }
  int weight_, bias_, mean_, var_;
};

// A convolution and the batch norm behind it: one operation in evaluation (nn/ops.h).
struct ConvBatchNorm {
  Conv2dLayer conv;
  BatchNormLayer bn;
  Var operator()(const Ctx& ctx, const Var& x) const { return apply(ctx, x, nullptr, false); }
  Var relu(const Ctx& ctx, const Var& x) const { return apply(ctx, x, nullptr, true); }
  Var add_relu(const Ctx& ctx, const Var& x, const Var& residual) const {
    return apply(ctx, x, &residual, true);
  }
  // With the output of `shortcut` on `from`.
  Var add_relu(const Ctx& ctx, const Var& x, const ConvBatchNorm& shortcut, const Var& from) const;
  // ReLU and max-pooling by windows of 2 x 2
  Var relu_pool(const Ctx& ctx, const Var& x) const {
    return conv.batch_norm(ctx, bn.inputs(ctx, x, nullptr), {.relu = true, .pool = true});
  }

 private:
  Var apply(const Ctx& ctx, const Var& x, const Var* residual, bool relu) const {
    return conv.batch_norm(ctx, bn.inputs(ctx, x, residual), {.relu = relu});
  }
};

struct LinearLayer {
  // `map`: (height, width, channels) of the map that was flattened into x, if one was: its columns
  // are permuted on the way to and from PyTorch, which flattens (channels, height, width).
  LinearLayer(ParamStore& params, const std::string& name, int64_t in, int64_t out, Shape map = {});
  Var operator()(const Ctx& ctx, const Var& x) const;

 private:
  int weight_, bias_;
};

// A row of the model table for a Network constructed from (ParamStore&, const InputSpec&).
template <class Net>
Model build(const char* name, const InputSpec& spec) {
  Model model{.name = name, .spec = spec, .network = nullptr, .params = {}};
  model.network = std::make_unique<Net>(model.params, spec);
  model.params.allocate();
  return model;
}

}  // namespace expunge::nn
