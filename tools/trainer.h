#pragma once

#include <chrono>
#include <optional>

#include "eval/accuracy.h"
#include "nn/checkpoint.h"
#include "tools/experiment.h"
#include "tools/model_card.h"
#include "tools/progress.h"
#include "tools/run_folder.h"

namespace expunge::tools {

// When checkpoints are written besides the end of an epoch: "epoch", N steps or "Ns".
struct CheckpointRule {
  int64_t steps = 0;
  double seconds = 0;
  static CheckpointRule parse(const std::string& text);
};

// What happens around a run's steps: progress, metrics, evaluation, checkpoints, signals.
class Trainer final : public nn::EpochHook {
 public:
  // earlier_seconds: of the sessions before this one.
  Trainer(const Settings& settings, Experiment& experiment, RunFolder& run,
          double earlier_seconds = 0);

  // From the start, or from the run's last checkpoint. Returns the finished status; an interrupted
  // run is saved and its status says so.
  RunStatus start();
  RunStatus resume();

  nn::Continue after_step(const nn::FitPosition& at, const nn::StepResult& result,
                          const StepScalars& scalars) override;
  nn::Continue after_epoch(const nn::FitPosition& at) override;

 private:
  nn::TrainState load_last();
  RunStatus run_from(nn::FitPosition position);
  void finish(nn::FitEnd end);
  void save(const nn::FitPosition& at, bool evaluated);
  bool checkpoint_due(const nn::FitPosition& at) const;
  void evaluate_epoch(const nn::FitPosition& at);
  double seconds() const;

  const Settings& settings_;
  Experiment& e_;
  RunFolder& run_;
  const double earlier_seconds_;
  CheckpointRule rule_;
  nn::Optimizer optimizer_;
  nn::SupervisedStep step_;
  const ModelCard card_;
  data::Loader loader_, held_out_, test_;
  std::optional<Progress> progress_;
  std::optional<eval::Accuracy> held_;  // after the last epoch, on val or else on test
  RunStatus status_;
  int64_t images_ = 0;
  int64_t total_steps_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(), saved_ = begin_,
                                        epoch_begin_ = begin_;
  float lr_ = 0;
};

}  // namespace expunge::tools
