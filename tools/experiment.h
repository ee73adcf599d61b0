#pragma once

#include <filesystem>
#include <memory>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/split.h"
#include "nn/supervised_step.h"
#include "tools/options.h"
#include "tools/run_folder.h"

namespace expunge::tools {

// What the settings of any run mean: data, split, forget set, network.
struct Experiment {
  data::Dataset data;
  data::Split split;                                 // without what earlier runs forgot
  std::vector<int32_t> forgotten;                    // F
  std::vector<int32_t> train;                        // R: split.train without F
  std::vector<std::string> forget_ids, earlier_ids;  // of F, of what earlier runs forgot
  nn::Model model;                                   // zeroed
};

// Reads the data and builds the network. `run` is a run's folder, or empty: what the run forgot,
// and what had been forgotten before it, is read from there, so that it stays what it was whatever
// became of the file it came from. `earlier`: ids forgotten before, of a run that begins.
Experiment make_experiment(const Settings& settings, const std::filesystem::path& run = {},
                           std::vector<std::string> earlier = {});

// Files of a run's folder: one 32-digit id a line.
inline constexpr const char* kForgetIds = "forget.ids";    // what this run forgot
inline constexpr const char* kEarlierIds = "earlier.ids";  // what runs that it came from forgot

// How the settings of a training run say to train.
struct Recipe {
  nn::OptimConfig optim;
  nn::FitConfig fit;
  nn::SupervisedConfig loss;
  data::LoaderConfig loader;  // of experiment.train
};
// Gives the network its initial values. --smoke cuts the experiment's parts short.
Recipe make_recipe(const Settings& settings, Experiment& experiment);

nn::OptimConfig optimizer_config(const Settings& settings);  // options that all runs have
data::SplitOptions split_options(const Settings& settings);
// --smoke: so few samples, drawn by the data set's digest, that every part has this many batches at
// most. Ids stay complete.
void shorten_for_smoke(Experiment& experiment, const Settings& settings);

// Settings of an existing run, from its config.toml; `verb` is the one that made it.
Settings run_settings(const std::filesystem::path& run, const std::string& verb);

// A run that is there to be looked at: its settings' experiment, and its weights in the model.
struct LoadedRun {
  std::filesystem::path folder, weights;
  RunStatus status;
  Settings settings;
  Experiment experiment;
};
// `which` of its checkpoints. Data that has changed since: ExitCode::input.
LoadedRun load_run(const std::filesystem::path& folder, const std::string& which);

// One 32-digit id a line; reading a file that is not there gives none.
std::vector<std::string> read_ids(const std::filesystem::path& path);
void write_ids(const std::filesystem::path& path, const std::vector<std::string>& ids);

}  // namespace expunge::tools
