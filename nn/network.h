#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/ctx.h"
#include "core/param_store.h"
#include "nn/trace.h"

namespace expunge::nn {

// What goes in and comes out: images (height, width, channels) to `classes` logits, or, for
// regression, flat inputs (1, 1, channels) to `classes` values.
struct InputSpec {
  int64_t height = 32, width = 32, channels = 3;
  int64_t classes = 10;
};

// A network is its layers and a forward pass. Layers hold indices into a ParamStore, never values,
// so the same network runs on any store of its layout: student and teacher are two stores.
class Network {
 public:
  virtual ~Network() = default;
  // x: (N, H, W, C) -> logits (N, classes). Reads ctx.params; records on ctx.tape where there is
  // one.
  virtual Var forward(const Ctx& ctx, const Var& x) const = 0;
};

enum class Init : unsigned char {
  pytorch,  // PyTorch's defaults: weights and biases uniform in +-1/sqrt(fan_in)
  kaiming,  // He et al. 2015: convolutions normal, std sqrt(2/fan_out); linear normal, std 0.01;
            // biases 0
};

// A network together with its parameters. Move-only; clone the store for a second set of values.
struct Model {
  std::string name;
  InputSpec spec;
  std::unique_ptr<Network> network;
  ParamStore params;

  int64_t parameter_count() const { return params.parameters().size(); }
  Trace trace(int64_t samples = 1) const;  // shapes of a forward pass of that many samples
  int64_t macs()
      const;  // multiply-adds of one sample's forward pass (convolutions and linear layers)
};

// Draws all values from (seed, parameter, element); batch norm starts at weight 1, bias 0, mean 0,
// variance 1.
void initialise(ParamStore& params, Init init, uint64_t seed);

// A row of `expunge list models`. A user's own model: a Network, and a row
// (docs/your-own-model.md).
struct ModelEntry {
  std::string name;
  std::string summary;
  InputSpec spec;  // the shape that `list` reports for
  Model (*make)(const InputSpec& spec);
};
const std::vector<ModelEntry>& models();
void register_model(ModelEntry entry);

// Builds a model by name with allocated, zeroed parameters on the compute stream. Unknown name:
// ExitCode::usage, names the nearest.
Model make_model(const std::string& name, const InputSpec& spec);

}  // namespace expunge::nn
