#pragma once

#include <memory>

#include "eval/accuracy.h"
#include "tools/measure.h"
#include "tools/references.h"
#include "tools/session.h"

namespace expunge::tools {

// How unlearning is measured on the way: all of F, 2,000 samples each of R and of the test part; at
// the end all samples of every part, and the attacks that take no time (scores.json). On the way
// also "auc": F against those of the test samples whose class is in F, by loss; with poisoned
// samples the attack's success. Against retrained networks where there are some. The measure
// steps_to_target is the step of the first evaluation with a forget accuracy of at most `until`, or
// the retrained networks'; it is missing where that was never reached.
class Forgetting final : public Evaluation {
 public:
  // until: --until-forget-acc, percent or "reference"; "" for never.
  Forgetting(const Experiment& experiment, const std::vector<Reference>& references,
             const std::string& until);
  Findings during(RunStatus& status) override;
  void at_end(RunStatus& status, const RunFolder& run) override;

  // One line on the network before the first step.
  std::string words_before();

 private:
  struct Part {
    const char* name;
    std::unique_ptr<data::Loader> few;  // what is looked at on the way
    eval::Accuracy found{};
    std::vector<double> losses{};  // of F, and of test samples of its classes
  };
  bool measure();
  double auc() const;
  const Experiment& e_;
  std::vector<Part> parts_;        // forget, retain, val, test; those with samples
  const TriggeredTest triggered_;  // where the set has poisoned samples
  double attack_success_ = 0;
  double reference_forget_acc_ = -1;
  double enough_ = -1;  // forget accuracy at which the run ends
};

}  // namespace expunge::tools
