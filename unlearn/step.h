#pragma once

#include <string>
#include <vector>

#include "kernels/gates.h"
#include "nn/fit.h"
#include "unlearn/estimator.h"
#include "unlearn/objectives.h"

// THE step of unlearning: a forget gradient and a retain gradient in two flat buffers, how sure
// their signs are, a gate, the optimizer. Source: Dine, Furon, Faure, arXiv 2511.02435
// (docs/unlearning.md).
namespace expunge::unlearn {

// How a gate looks at the model: a parameter alone, its tensor, or everything at once.
enum class Scope : unsigned char { element, tensor, model };

enum class Gate : unsigned char {
  none,
  conjunction,
  prob,
  focus,
  bernoulli,
  saliency_global,  // element
  saliency,
  opt,
  focus_opt,
  random,  // tensor
  global_opt,
  fdr,
  top  // model
};

struct GateSpec {
  Gate gate = Gate::none;
  double value = 0;  // prob: q; saliency: quantile; fdr: alpha; top, random: share that is kept
  // "prob:0.3", "and", "opt", ...; anything else: ExitCode::usage, the nearest name is given.
  static GateSpec parse(const std::string& text);
};
struct GateRow {
  const char* name;
  Gate gate;
  Scope scope;
  bool has_value;
  double fallback, least, most;  // of the value
  const char* summary;
};
const std::vector<GateRow>& gates();
const GateRow& row_of(Gate gate);

// What is updated before the estimator knows anything: everything, or nothing.
enum class Warmup : unsigned char { none, hold };

struct StepConfig {
  const Objective* forget = nullptr;  // null: no forget side (fine-tuning)
  const Objective* retain = nullptr;  // null: no retain side (ascent alone)
  double beta = 0.95;  // d = beta g_r + (1 - beta) g_f; 1 or 0 where a side is missing
  GateSpec gate;
  Tensor mask{};  // flat: w of saliency_global (unlearn/saliency.h)
  EstimatorSpec estimator;
  kernels::GateOn gate_on = kernels::GateOn::gradient;
  Warmup warmup = Warmup::none;
  BatchNormMode batch_norm = BatchNormMode::train;
  // saliency by the gradient of -CE(F) with true labels, from a pass of its own (random labels,
  // scrub); otherwise by g_f
  bool saliency_pass = false;
  // Element gates: update each parameter inside the retain backward pass, as soon as its gradient
  // is final. Otherwise after it. The bits are the same.
  bool in_backward = true;
  int64_t batches_per_epoch = 1;  // of forget batches, for the place in the retain source
};

// What a step did, beside its losses.
struct StepReport {
  double forget_loss = 0, retain_loss = 0;
  int64_t kept = -1;  // parameters with w > 0; -1 where the gate does not count (element gates)
  int64_t parameters = 0;  // of the model
};

// Runs on forget batches; every one is joined by the next batch of `retain`, which is shuffled anew
// in each epoch. A missing side that the gate needs is a probe: its gradient is used by the gate
// only and running statistics are left alone.
class UnlearnStep final : public nn::Step {
 public:
  UnlearnStep(nn::Model& model, nn::Optimizer& optimizer, BatchSource& retain, StepConfig config);
  // loss: the retain loss where there is a retain side, else the forget loss.
  nn::StepResult run(const Batch& forget, const StepScalars& scalars) override;

  int passes() const;  // of one step: forward and backward, each over a batch
  const StepReport& report() const { return report_; }
  // What it remembers between steps, to save and restore with a run: statistics, the mask.
  std::vector<NamedBuffer> state() const;

 private:
  struct Pass {
    const Objective* objective;
    BatchNormMode batch_norm;
  };
  double differentiate(const Pass& pass, const Batch& batch, const StepScalars& scalars,
                       const Tensor& grads, Tape::Ready ready = {});
  const Batch& next_retain(const StepScalars& scalars);
  kernels::GradAlignment alignment(int parameter, const StepScalars& scalars) const;
  void focus(int parameter, const StepScalars& scalars);
  void update(int parameter, const StepScalars& scalars);
  void gate_tensor(int parameter, const StepScalars& scalars);
  void gate_model();
  void gate_and_update(const StepScalars& scalars);
  bool warming(int64_t step) const;  // phi is wanted and says nothing yet

  nn::Model& model_;
  nn::Optimizer& optimizer_;
  BatchSource& retain_;
  const StepConfig config_;
  ParamStore teacher_;  // the original values, where an objective wants them
  GradientStatistics stats_f_, stats_r_;
  Tensor g_f_, g_r_, saliency_, weight_, phi_;  // flat; the last three where the gate wants them
  std::vector<int64_t> first_;                  // logical index of each range's first parameter
  Tape tape_;
  Batch retain_batch_;
  int64_t retain_epoch_ = -1, retain_next_ = 0;
  StepReport report_;
};

}  // namespace expunge::unlearn
