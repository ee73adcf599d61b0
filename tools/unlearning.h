#pragma once

#include <memory>
#include <optional>

#include "data/loader.h"
#include "tools/one_shots.h"
#include "unlearn/audit.h"
#include "unlearn/methods.h"

// From the options of unlearn to a step and what it goes over.
namespace expunge::tools {

// Fills in what the method's preset, or the named one, says about options that were not given, and
// checks that the rest goes together: ExitCode::usage where it does not.
void resolve_preset(Settings& settings);

// Everything a run of unlearning steps through. The experiment's model must hold the original
// weights; it must outlive this.
class Unlearning {
 public:
  Unlearning(const Settings& settings, Experiment& experiment);

  // What comes before the first step: the mask, the prologue. Returns its passes, each forward and
  // backward over a batch. A resumed run leaves it out.
  int64_t prepare();

  const nn::FitConfig& fit() const { return fit_; }
  nn::Optimizer& optimizer() { return *optimizer_; }
  nn::Step& step();
  const unlearn::AuditedStep* audited() const { return audited_.get(); }  // or null
  const unlearn::OneShot* one_shot() const { return once_.step.get(); }   // or null
  BatchSource& source();
  nn::Model& model() { return widened_ ? *widened_ : e_.model; }  // that the steps move
  // The experiment's model, brought up to date where the steps move one with a class more.
  const nn::Model& shown() const;
  std::vector<NamedBuffer> buffers() const;
  int64_t steps();                                 // to the end of the run
  int passes_per_step() const { return passes_; }  // forward and backward, over one batch each

 private:
  void add_steps(unlearn::StepConfig config);
  void add_audit(const unlearn::StepConfig& config);
  std::unique_ptr<BatchSource> forget_batches() const;
  std::unique_ptr<BatchSource> retain_batches() const;
  std::unique_ptr<BatchSource> mixed_batches() const;
  unlearn::Order order() const;

  const Settings& settings_;
  Experiment& e_;
  const unlearn::Method& method_;
  nn::FitConfig fit_;
  std::optional<nn::Model> widened_;
  Tensor mask_;
  int passes_ = 0;
  std::unique_ptr<nn::Optimizer> optimizer_;
  std::unique_ptr<BatchSource> forget_, retain_, both_;
  std::unique_ptr<unlearn::UnlearnStep> forget_step_, retain_step_;
  std::unique_ptr<nn::Step> in_turn_;
  OneShotParts once_;  // of a method that changes the weights once: then nothing of the above
  std::unique_ptr<BatchSource> audit_forget_, audit_retain_;
  std::unique_ptr<unlearn::AuditedStep> audited_;
};

}  // namespace expunge::tools
