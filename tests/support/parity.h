#pragma once

#include <string>
#include <vector>

#include "core/safetensors.h"
#include "nn/network.h"

// The same computation as computed() of tools/golden.py, for comparison with PyTorch's numbers.
namespace expunge::test {

// (N, C, H, W) of a file as (N, H, W, C), which serves convolution weights as well; other ranks as
// they are.
Tensor nhwc(const NamedTensor& t);
Tensor nhwc(const float* values, const std::vector<int64_t>& nchw);

// ||a - b|| / ||b||, in double; equal zeros differ by 0.
double distance(std::span<const float> a, std::span<const float> b);

// From x (steps, N, C, H, W) and labels (steps, N): "logits.eval", "logits.train" and "grad/<name>"
// of the first batch, "losses" of one step a batch with "sgd" or "adam", "after/<name>" and
// "logits.after" (evaluation mode, first batch) once they are done. `model` is left in that state.
std::vector<NamedTensor> parity(nn::Model& model, const NamedTensor& x, const NamedTensor& labels,
                                const std::string& optimizer, double lr);

}  // namespace expunge::test
