#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "data/dataset.h"
#include "nn/network.h"

namespace expunge::tools {

// What a model file says of itself besides its weights, in the metadata: enough to use the model on
// new images without the data set it was trained on.
struct ModelCard {
  std::string model;
  nn::InputSpec spec;
  std::vector<std::string> classes;                  // names, spec.classes of them
  std::array<float, 3> mean{0, 0, 0}, std{1, 1, 1};  // of pixels / 255, per channel
};
ModelCard card_of(const nn::Model& model, const data::Dataset& set);

void save_model_file(const std::filesystem::path& path, const nn::Model& model,
                     const ModelCard& card);

// The card of a file's metadata, or nothing where it has none; a broken one is ExitCode::input.
std::optional<ModelCard> read_card(const Metadata& metadata, const std::filesystem::path& path);

struct ModelFile {
  ModelCard card;
  nn::Model model;
};
// A file without a card, as other programs write it: ExitCode::input says how to give it one.
ModelFile load_model_file(const std::filesystem::path& path);

// The weights that a user means: a model file itself, or `which` of a run folder (auto is last).
std::filesystem::path weights_of(const std::filesystem::path& run_or_file,
                                 const std::string& which);
// Those that unlearning starts from: auto is best where the run has such.
std::filesystem::path original_weights(const std::filesystem::path& run, const std::string& which);

}  // namespace expunge::tools
