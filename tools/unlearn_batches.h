#pragma once

#include <memory>

#include "data/loader.h"
#include "tools/experiment.h"
#include "unlearn/methods.h"

namespace expunge::tools {

// Shuffled batches of the samples that `wanted` names, of the size and with the end that it names;
// augmented as --augment and --unlearn-augment say.
std::unique_ptr<BatchSource> unlearn_batches(const Settings& settings, const data::Dataset& set,
                                             data::LoaderConfig wanted, unlearn::Prologue prologue);

// The samples of R that steps see: --retain-fraction of them, drawn by the seed.
std::vector<int32_t> retained_for_steps(const Settings& settings, const Experiment& experiment);

}  // namespace expunge::tools
