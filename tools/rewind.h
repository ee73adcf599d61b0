#pragma once

#include "tools/experiment.h"
#include "tools/model_card.h"
#include "tools/run_folder.h"

namespace expunge::tools {

// SCRUB+R (Kurmanji et al. 2023), for any method: the weights after every epoch are kept, and the
// run ends with those whose error on F is nearest to a reference: the error, after the last epoch,
// on validation samples of the classes that F has. Of equally near ones the first.
class Rewind {
 public:
  // No validation sample of these classes: ExitCode::usage.
  Rewind(Experiment& experiment, const RunFolder& run);
  void keep(int epoch) const;  // the experiment's model, as checkpoints/epoch-N
  // Puts the chosen epoch's weights into the experiment's model; measures rewind_epoch and
  // rewind_reference. Nothing where a signal came or no epoch was kept.
  void choose(RunStatus& status) const;

  static std::vector<int32_t> reference_samples(const Experiment& experiment);

 private:
  std::filesystem::path file(int epoch) const;
  Experiment& e_;
  const RunFolder& run_;
  const ModelCard card_;
  const std::vector<int32_t> reference_;
};

}  // namespace expunge::tools
