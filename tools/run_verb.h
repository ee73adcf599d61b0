#pragma once

#include <optional>

#include "core/check.h"
#include "tools/experiment.h"

// What verbs that make runs, train and unlearn, have in common.
namespace expunge::tools {

// A run to go on with: its own settings, with the few options of this call that may differ. Nothing
// where it is already complete, which is said on stderr. --resume with an option that would change
// the run: ExitCode::usage.
struct ResumedRun {
  Settings settings;
  RunStatus status;
  void check(const Experiment& experiment) const;  // the data set is still the one it was
};
std::optional<ResumedRun> resumed_run(const Settings& typed);

// The status of a run that begins.
RunStatus new_status(const Settings& settings, const Experiment& experiment);

// What a run's folder comes to: of the model last, best and one being written; of the state last,
// previous and one being written; and a little for the rest. `buffers`: flat ones beside the
// values.
uint64_t disk_bytes(const nn::Model& model, int buffers);

// The last words on a run, to stdout, and its exit code.
ExitCode report(const RunStatus& status, const std::filesystem::path& folder,
                const Settings& settings);

}  // namespace expunge::tools
