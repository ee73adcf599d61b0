#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "nn/fit.h"
#include "nn/network.h"
#include "nn/optim.h"

namespace expunge::nn {

// Everything a run needs to go on bit for bit, in one file, so that there is no moment at which
// parts of two steps could be joined: values, running statistics, the optimizer's buffers and the
// position.
inline constexpr const char* kStateFormat = "expunge.state/1";  // metadata "format"
struct TrainState {
  FitPosition position;
  std::map<std::string, std::string> notes;  // the caller's own, kept as they are
};
// `extra`: what else a step remembers (unlearn/step.h), by names of its own.
void save_state(const std::filesystem::path& path, const Model& model, const Optimizer& optimizer,
                const TrainState& state, std::span<const NamedBuffer> extra = {});
// Fills model, optimizer and `extra`. Those of another run: ExitCode::input, and nothing is
// changed.
TrainState load_state(const std::filesystem::path& path, Model& model, Optimizer& optimizer,
                      std::span<const NamedBuffer> extra = {});

}  // namespace expunge::nn
