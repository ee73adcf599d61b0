#pragma once

#include <array>
#include <deque>
#include <vector>

#include "core/late_numbers.h"
#include "nn/fit.h"
#include "nn/step_recorder.h"
#include "unlearn/objectives.h"
#include "unlearn/pass.h"
#include "unlearn/update.h"

// THE step of unlearning: a forget gradient and a retain gradient in two flat buffers, how sure
// their signs are, a gate, the optimizer. Source: Dine, Furon, Faure, arXiv 2511.02435
// (docs/unlearning.md).
namespace expunge::unlearn {

// Whose batches the step runs on; each is joined by the next batch of the other side.
enum class Leads : unsigned char { forget, retain };

// beta: 1 or 0 where a side is missing.
struct StepConfig : UpdateConfig {
  const Objective* forget = nullptr;  // null: no forget side (fine-tuning)
  const Objective* retain = nullptr;  // null: no retain side (ascent alone)
  BatchNormMode batch_norm = BatchNormMode::train;
  // saliency by the gradient of -CE(F) with true labels, from a pass of its own (random labels,
  // scrub); otherwise by g_f
  bool saliency_pass = false;
  // Element gates: update each parameter inside the retain backward pass, as soon as its gradient
  // is final. Otherwise, and in fp16, after it, on a GPU in one launch. The bits are the same, with
  // passes apart.
  bool in_backward = true;
  // On a GPU: both sides' batches in one joint pass (Ctx::joint), each with batch norm of its own.
  bool joint = true;
  bool overlap = true;            // on a GPU: Tape::set_overlap
  int64_t batches_per_epoch = 1;  // of the source that it runs on, for the place in the other
  Leads leads = Leads::forget;
  TeacherConfig teachers{};    // of objectives that have one
  ObjectiveNumbers numbers{};  // and their settings
};

// What a step did, beside its losses.
struct StepReport {
  double forget_loss = 0, retain_loss = 0;
  int64_t kept = -1;  // parameters with w > 0; -1 where the gate does not count (element gates)
  int64_t parameters = 0;  // of the model
};

// Runs on batches of the side that leads; every one is joined by the next batch of `other`, which
// is shuffled anew in each epoch. A missing side that the gate needs is a probe: its gradient is
// used by the gate only and running statistics are left alone. In fp16 a step whose gradients
// overflow is skipped.
//
// On a GPU both sides' batches go through the network together; the passes of a step are recorded
// (nn/step_recorder.h) and the update, after them, looks at their losses itself: queue() waits for
// nothing. An estimator that looks into batches wants each batch in a pass of its own. Step by step
// as on the CPU are done: updates inside the backward pass, and objectives that may not be
// recorded.
class UnlearnStep final : public nn::Step {
 public:
  UnlearnStep(nn::Model& model, nn::Optimizer& optimizer, BatchSource& other, StepConfig config);
  // loss: the retain loss where there is a retain side, else the forget loss.
  nn::StepResult run(const Batch& leading, const StepScalars& scalars) override;
  bool makes_images() const override { return true; }
  size_t most_ahead() const override;
  void start() override;
  void queue(const Batch& leading, const StepScalars& scalars) override;
  nn::StepResult next_result() override;

  int passes() const;  // of one step: forward and backward, each over a batch
  const StepReport& report() const { return report_; }  // of the last step whose result is known
  bool has_recorded() const { return recorder_.has_recorded(); }
  const GatedUpdate& update() const { return update_; }
  // What it remembers between steps, to save and restore with a run: statistics, the mask.
  std::vector<NamedBuffer> state() const { return update_.state(); }

 private:
  // Passes of a step, in their order; the number is StepScalars::pass.
  enum Which { kSaliency = 2, kForget = 0, kRetain = 1 };
  struct Planned {
    Which which;
    const Objective* objective;
    BatchNormMode batch_norm;
    const Batch* batch;
    Tensor grads;
    SliceStatistics* slices;
    StepScalars scalars;
  };
  // By Which, and last whether gradients overflowed.
  using Losses = std::array<float, kernels::kStepLosses>;
  std::vector<Planned> plan(const Batch& leading, const StepScalars& scalars);
  const Batch& next_other(const StepScalars& scalars);
  static void make_images(const std::vector<Planned>& passes);
  Pass pass_of(const Planned& planned) const;
  // Passes and update, until a loss is not finite.
  Losses in_order(const std::vector<Planned>& passes, const StepScalars& scalars);
  // All of it, on a GPU. Returns what GatedUpdate::queue_all does.
  std::optional<int64_t> queue_passes(const std::vector<Planned>& passes,
                                      const StepScalars& scalars);
  nn::StepResult known(const Losses& losses, int64_t samples);
  bool may_be_queued() const;
  void send_inputs(const std::vector<Planned>& passes);
  bool updates_inside() const;
  void bind(const Planned& planned);
  // Passes that are to be one.
  void queue_together(std::span<const Planned> passes);
  void finish_gradients(const std::vector<Planned>& passes) const;

  nn::Model& model_;
  BatchSource& other_;
  const StepConfig config_;
  const Teachers teachers_;
  StepGradients gradients_;
  GatedUpdate update_;
  Tape tape_;
  nn::LossScale& scale_;
  nn::StepRecorder recorder_;
  // What changes from step to step, where the model is, by Which.
  std::array<Tensor, kernels::kStepPasses> labels_;
  Tensor scalars_, losses_;
  LateNumbers late_;       // losses_
  LateNumbers late_kept_;  // WholeGate::kept_there()
  struct Queued {
    int64_t samples;
    std::optional<int64_t> kept;
  };
  std::deque<Queued> queued_;
  int64_t taken_ = 0;  // steps before the one that was queued last, at least
  Batch other_batch_;
  int64_t other_epoch_ = -1, other_next_ = 0;
  StepReport report_;
};

}  // namespace expunge::unlearn
