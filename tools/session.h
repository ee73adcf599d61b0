#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>

#include "nn/checkpoint.h"
#include "tools/experiment.h"
#include "tools/model_card.h"
#include "tools/progress.h"
#include "tools/run_folder.h"

namespace expunge::tools {

// When checkpoints are written besides a run's first and last step: "epoch", at its end; "auto", at
// its end unless writing would take more than kMostShare of the time; after N steps or "Ns".
struct CheckpointRule {
  static constexpr double kMostShare = 0.05;
  enum class Epochs : unsigned char { none, all, affordable };
  Epochs epochs = Epochs::none;
  int64_t steps = 0;
  double seconds = 0;
  static CheckpointRule parse(const std::string& text);
};

// How often a run is evaluated: "2" epochs, or "10step".
struct EvaluationRule {
  int64_t epochs = 1, steps = 0;
  static EvaluationRule parse(const std::string& text);
};

// What an evaluation found.
struct Findings {
  std::string fields{};  // of its line in metrics.jsonl: "\"val_acc\":0.9"
  std::string words{};   // of the line on stderr
  bool better = false;   // than every evaluation before: these weights are the best ones
  bool enough = false;   // the run has reached what it was for
};

// What is measured while a run goes on and at its end. All of it stops early where a signal came.
class Evaluation {
 public:
  virtual ~Evaluation() = default;
  virtual Findings during(RunStatus& status) = 0;
  // The weights are in run.model("last") already.
  virtual void at_end(RunStatus& status, const RunFolder& run) = 0;
};

// What a step found out beside its loss: fields of a line of metrics.jsonl, or "".
struct StepNote {
  const char* type = "";
  std::string fields{};
  double seconds = 0;  // that went into finding out; not the run's work
};

// What a session drives.
struct SessionParts {
  const nn::FitConfig& fit;
  nn::Model& model;
  nn::Optimizer& optimizer;
  nn::Step& step;
  BatchSource& source;
  std::vector<NamedBuffer> buffers{};  // what the step remembers
  bool counts_correct = true;          // the step tells how many answers were right
  std::function<StepNote()> note{};    // asked after every step, where there is one
  // The model as others see it, where the steps move another one: brings it up to date.
  std::function<const nn::Model&()> shown{};
  std::function<void(int epoch)> epoch_over{};  // from 1; twice where a run goes on from there
  // After the last step and before the last evaluation: may change the model that others see.
  std::function<void(RunStatus&)> conclude{};
};

// What happens around the steps of a run, be it training or unlearning: progress, metrics,
// evaluation, checkpoints, signals.
class Session final : public nn::EpochHook {
 public:
  // status: what is known of the run already; its seconds are those of earlier sessions.
  Session(const Settings& settings, SessionParts parts, ModelCard card, RunFolder& run,
          Evaluation& evaluation, RunStatus status);

  // From the start, or from the run's last checkpoint. Returns the finished status; an interrupted
  // run is saved and its status says so.
  RunStatus start();
  RunStatus resume();

  bool looks_after(int64_t step) override;
  nn::Continue after_step(const nn::FitPosition& at, const nn::StepResult& result,
                          const StepScalars& scalars) override;
  nn::Continue after_epoch(const nn::FitPosition& at) override;

 private:
  using Clock = std::chrono::steady_clock;
  const nn::Model& shown() const { return parts_.shown ? parts_.shown() : parts_.model; }
  nn::TrainState load_last();
  RunStatus run_from(nn::FitPosition position);
  void finish(nn::FitEnd end);
  void save(const nn::FitPosition& at, bool evaluated);
  bool epoch_checkpoint_due() const;
  bool checkpoint_due(int64_t step) const;
  bool evaluation_due(int64_t step) const;
  void evaluate_epoch(const nn::FitPosition& at);
  bool evaluate_step(const nn::FitPosition& at);  // false where a signal came
  void keep_epoch(const nn::FitPosition& at);
  std::optional<Findings> evaluate();
  double worked() const;  // seconds of this session, without what was aside
  void note_time();

  const Settings& settings_;
  SessionParts parts_;
  const ModelCard card_;
  RunFolder& run_;
  Evaluation& evaluation_;
  RunStatus status_;
  const double earlier_seconds_, earlier_work_;
  const CheckpointRule checkpoints_;
  const EvaluationRule evaluations_;
  const int64_t total_steps_;
  std::optional<Progress> progress_;
  int64_t images_ = 0;
  bool enough_ = false;
  int64_t looks_after_ = 0;  // the last step that looks_after() said yes of
  double aside_ = 0;         // seconds of this session that went into evaluation and checkpoints
  double last_save_ = 0;     // seconds that the last checkpoint took
  Clock::time_point begin_ = Clock::now(), saved_ = begin_;
  struct {
    int64_t images = 0;
    double worked = 0;
  } line_;  // what the last line of an epoch had counted
  float lr_ = 0;
};

}  // namespace expunge::tools
