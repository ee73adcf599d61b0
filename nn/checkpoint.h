#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "nn/fit.h"

namespace expunge::nn {

// The model's parameters and running statistics as safetensors in PyTorch's naming and order:
// convolution weights OIHW, the columns of a linear layer behind a flattened map (c, h, w).
// `metadata` is stored with it
// ("model", "classes", ...); no time, host or path, so equal models give equal files. Written
// atomically.
void save_model(const std::filesystem::path& path, const Model& model,
                const std::map<std::string, std::string>& metadata = {});

// Fills the model's store. Missing, unknown or misshapen tensors: ExitCode::input with the first
// differences, and nothing is copied. "num_batches_tracked" entries of PyTorch are ignored.
void load_model(const std::filesystem::path& path, Model& model);

// Everything a run needs to go on bit for bit, in one file, so that there is no moment at which
// parts of two steps could be joined: values, running statistics, the optimizer's buffers and the
// position.
struct TrainState {
  FitPosition position;
  std::map<std::string, std::string> notes;  // the caller's own, kept as they are
};
void save_state(const std::filesystem::path& path, const Model& model, const Optimizer& optimizer,
                const TrainState& state);
// Fills model and optimizer. Another model or optimizer: ExitCode::input, and nothing is changed.
TrainState load_state(const std::filesystem::path& path, Model& model, Optimizer& optimizer);

}  // namespace expunge::nn
