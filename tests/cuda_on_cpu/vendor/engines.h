#pragma once

#include <vector>

#include "cuda_on_cpu/vendor/operation.h"

// Engines of the stand-in for cuDNN: what heuristics propose, and what becomes of it.
namespace cuda_on_cpu {

// direct: takes all. tiled: wants 16-byte pointers and memory to work in. unsteady: would give
// other bits each time, or sums that are not f32. refuses: is no good on this device, which shows
// when it is run. refuses_capture: the same, but only in a recorded step.
struct Engine {
  enum Kind : unsigned char { direct, tiled, unsteady, refuses, refuses_capture } kind;
  double takes;  // milliseconds
  std::vector<int32_t> notes{};
  int64_t knobs = 1;  // values of its one knob, from 0; each makes it a millisecond faster
};

struct Plan {
  const Engine* engine;
  int64_t knob;
  const Node* operation;
  Convolution convolution;  // without its pointers

  int64_t workspace() const;  // bytes
  double takes() const { return engine->takes - static_cast<double>(knob); }
};
Plan plan_of(const Node& plan);

// Makes a descriptor ready: heuristics, engines, configurations and plans have what is read of them
// from then on.
cudnnStatus_t finalize(Node& node);

}  // namespace cuda_on_cpu
