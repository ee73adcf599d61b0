#pragma once

#include <string>
#include <vector>

#include "nn/network.h"
#include "tools/bench_measure.h"
#include "unlearn/update.h"

namespace expunge::tools {

// The update of a model's flat buffers under one gate: statistics, focus vector, gate, Adam. Only
// the update is timed; gradients are drawn: normal, deviation 1e-3, correlation -0.5 between g_f
// and g_r, so that OPT has something to drop.
struct BenchUnlearn {
  std::string model = "resnet18";
  unlearn::GateSpec gate{};
  unlearn::EstimatorSpec estimator{};
  int steps = 10, warmup = 3;
};

struct BenchUnlearnResult {
  Timing time;
  int64_t parameters;
  int64_t bytes_per_parameter;
  double memory_mb;  // most that the update and its buffers had of the pool
  double gb_per_s() const {
    return 1e-6 * static_cast<double>(bytes_per_parameter * parameters) / time.median_ms;
  }
  double mparam_per_s() const { return 1e-3 * static_cast<double>(parameters) / time.median_ms; }
};

// Checks before it times (check_update), otherwise ExitCode::verification.
BenchUnlearnResult bench_unlearn(const BenchUnlearn& options);

// Gradients and the update on them, as in a run.
struct UpdateProblem {
  UpdateProblem(const BenchUnlearn& options);
  nn::Model model;
  nn::Optimizer optimizer;
  unlearn::StepGradients gradients;
  unlearn::UpdateConfig config;
  unlearn::GatedUpdate update;
  StepScalars scalars{.lr = 1e-4f};

  void step();
};

// What the formulas must move, in bytes of a parameter, once per pass that the gate's scope
// needs:
//   update           g_f, g_r read; value and Adam's two states read and written: 32
//   statistics       4 B buffers read and written, B of each objective: 16 B
//   gate by tensors  g_f, g_r read, w written, and read by the update: 16
//   focus-opt        g_f, g_r read once more for phi; phi written, and read by the gate: 16
// none, and: 32; prob, focus with the paper's estimator (B = 1): 48; opt: 48; focus-opt: 80.
int64_t bytes_per_parameter(const BenchUnlearn& options, const UpdateProblem& problem);

// Two steps against plain loops in double, of every 997th parameter: under the paper's estimator
// all gates, under others those that do not ask for phi. Gates over tensors also: what is left is
// feasible, what was dropped has the smallest products, and in tensors of up to 4096 parameters no
// shorter prefix would do. And for all: one thread on the baseline instruction set has the same
// bits, or another run on the GPU.
void check_update(const BenchUnlearn& options);

}  // namespace expunge::tools
