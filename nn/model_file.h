#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "nn/network.h"

// A model's parameters and running statistics as safetensors in PyTorch's naming and order:
// convolution weights OIHW, the columns of a linear layer behind a flattened map (c, h, w). Both
// orders have the same shape there, so only numbers can show a mistake (docs/pytorch.md).
namespace expunge::nn {

// Equal models and metadata give equal files: no time, host or path. Written atomically.
void save_model(const std::filesystem::path& path, const Model& model,
                const Metadata& metadata = {});

// Fills the model's store. Missing, unknown or misshapen tensors: ExitCode::input with the first
// differences, and nothing is copied. "num_batches_tracked" entries of PyTorch are ignored.
void load_model(const std::filesystem::path& path, Model& model);
void fill_model(const SafeTensors& file, const std::filesystem::path& path, Model& model);

// Ranges of a flat buffer (values, gradients) as PyTorch's tensors.
std::vector<NamedTensor> to_pytorch(const RangeTable& table, const Tensor& flat);

// Which of our networks a file's names and shapes are, and for images of what size; nothing where
// none fits. `only` names the one network to try. Convolutions do not tell the image's sides: they
// count as 32.
struct Identity {
  std::string model;
  InputSpec spec;
};
std::optional<Identity> identify(const SafeTensors& file, const std::string& only = {});

// Builds that network and fills it. Sizes that the file's weights do not back are refused before
// memory is taken for them.
Model make_model(const Identity& wanted, const SafeTensors& file,
                 const std::filesystem::path& path);

}  // namespace expunge::nn
