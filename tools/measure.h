#pragma once

#include <filesystem>
#include <memory>

#include "eval/compare.h"
#include "tools/experiment.h"
#include "tools/held_out.h"

namespace expunge::tools {

// --attacks and --modified-entropy. auto: all attacks on one network, where samples were
// forgotten. ulira, which needs many, is none of them (tools/ulira.h).
eval::ScoreConfig score_config(const Settings& settings, const Experiment& experiment);
bool any_attack(const eval::ScoreConfig& config);

// The network's outputs on every part of the experiment; stops early where a signal came.
eval::Parts outputs_of(const Experiment& experiment, const nn::Model& model);
eval::Outputs outputs_of(const Experiment& experiment, const nn::Model& model,
                         const std::vector<int32_t>& positions, int64_t batch_size = kPlainBatch);

// Everything about a run's network on the experiment's samples. Scores come from the run's folder
// where they are still right, and are kept there. Stops early where a signal came.
eval::Measured measure(const Experiment& experiment, const nn::Model& model,
                       const std::filesystem::path& run, const std::filesystem::path& weights,
                       const eval::ScoreConfig& config);
// The same of outputs that are there already.
eval::Scores measure(const Experiment& experiment, const eval::Parts& parts,
                     const std::filesystem::path& run, const std::filesystem::path& weights,
                     const eval::ScoreConfig& config);

// Test samples of a set with a record of poisoned ones, with the trigger (data::triggered_test):
// the share that a network takes for the target is the attack's success. At most `most` of them,
// chosen by the set's content; 0 for all.
class TriggeredTest {
 public:
  explicit TriggeredTest(const Experiment& experiment, size_t most = 0);
  TriggeredTest(const TriggeredTest&) = delete;                  // the loader refers to the set
  explicit operator bool() const { return loader_ != nullptr; }  // whether there are any
  int64_t samples() const { return loader_ ? loader_->samples() : 0; }
  double success(const nn::Model& model) const;  // NaN where there are none, or a signal came

 private:
  data::Dataset set_;
  std::unique_ptr<data::Loader> loader_;
};

// Positions of `most` samples, the same for every run on the same data.
std::vector<int32_t> few_of(std::vector<int32_t> positions, const std::string& digest, size_t most);

}  // namespace expunge::tools
