#pragma once

#include <string>

#include "core/batch_source.h"
#include "nn/network.h"
#include "tools/bench_measure.h"

namespace expunge::tools {

// A whole network on one synthetic batch of images.
struct BenchNetwork {
  std::string model = "resnet18";
  int64_t batch_size = 64;
  int steps = 10, warmup = 3;
  // on a GPU: of SupervisedConfig, StepConfig
  bool record = true, overlap = true, joint = true;
  std::string method = "ngplus", gate = "focus", estimator = "paper";  // of bench_step
};

struct BenchNetworkResult {
  Timing time;
  double flops;     // of a step by the formulas: 2 a multiply-add, convolutions and linear layers
  int64_t peak_mb;  // resident, or of the GPU's memory: what the pool held in the end
  std::string checked;  // what was found before the timing, in words
};

// Training steps of SGD (momentum 0.9, weight decay 5e-4): forward, gradients by x and by w. On the
// same batch the loss must be finite and fall, otherwise ExitCode::verification.
BenchNetworkResult bench_train(const BenchNetwork& options);

// Forward passes in evaluation mode. The batch's logits must be finite and those of its images one
// by one, otherwise ExitCode::verification.
BenchNetworkResult bench_infer(const BenchNetwork& options);

// Whole steps of unlearning: a pass over a forget batch, one over a retain batch, for some gates
// one more, statistics, gate, Adam. With passes apart the first steps must have the bits of steps
// call by call that update inside the backward pass; joint passes, for which cuDNN may choose other
// engines, must come to the same means of gradients but for rounding. Otherwise
// ExitCode::verification.
BenchNetworkResult bench_step(const BenchNetwork& options);

// Uniform images keyed by `key`, labels in turn, positions from 0.
Batch synthetic_batch(const nn::InputSpec& spec, int64_t size, uint32_t key);
nn::Model initial_model(const BenchNetwork& options);
double flops_of(const nn::Model& model, int passes, int64_t batch_size);

}  // namespace expunge::tools
