#pragma once

#include "tools/experiment.h"

namespace expunge::tools {

// What --dry-run says about a run: counts, and what its steps would take.
struct Prediction {
  int64_t steps = 0;        // optimizer steps
  int64_t step_passes = 1;  // forward and backward passes of one step, over a batch each
  int64_t batch_size = 0;
  int buffers = 0;  // flat buffers of the parameters' size: values, gradients, states
};

// Lines on network, steps, memory, disk and time. The memory of activations is measured on two
// samples, the time on a training step on zeros.
std::string words_of(const Prediction& prediction, Experiment& experiment,
                     const nn::OptimConfig& optim);

}  // namespace expunge::tools
