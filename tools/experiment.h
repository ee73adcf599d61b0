#pragma once

#include <filesystem>
#include <memory>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/split.h"
#include "nn/fit.h"
#include "tools/options.h"

namespace expunge::tools {

// What a run's settings mean: data, split, forget set, network, optimizer, schedule.
struct Experiment {
  data::Dataset data;
  data::Split split;  // before anything is forgotten
  std::vector<int32_t> forgotten;
  std::vector<int32_t> train;  // split.train without the forgotten
  nn::Model model;
  nn::OptimConfig optim;
  nn::FitConfig fit;
  nn::SupervisedConfig loss;
  data::LoaderConfig loader;  // of `train`
};

// Reads the data and builds the network with fresh initial values. `run` is a run's folder, or
// empty: a run's forget set is read from it, so that it stays what it was whatever became of the
// file it came from.
Experiment make_experiment(const Settings& settings, const std::filesystem::path& run = {});

// Settings of an existing run, from its config.toml.
Settings run_settings(const std::filesystem::path& run);

// --device, --threads, --precision: takes them into force. A device or precision this build lacks:
// ExitCode::device.
void apply_machine_options(const Settings& settings);

// forget.ids: one 32-digit id a line.
void write_ids(const std::filesystem::path& path, const data::Dataset& set,
               const std::vector<int32_t>& positions);

}  // namespace expunge::tools
