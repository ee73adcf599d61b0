#include "nn/predict.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "data/loader.h"
#include "data/resize.h"
#include "tools/experiment.h"
#include "tools/machine.h"
#include "tools/model_card.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

struct Images {
  data::Dataset set;
  std::vector<bool> resized;
};

// The files as a data set of the model's image size. All that cannot be read are named at once.
Images read_images(std::span<const std::string> files, const ModelCard& card) {
  Images images;
  data::Dataset& set = images.set;
  const data::ImageSize size{card.spec.height, card.spec.width};
  set.height = size.height, set.width = size.width, set.channels = 3;
  set.classes = card.classes, set.mean = card.mean, set.std = card.std;
  std::string faults;
  for (const std::string& file : files) {
    try {
      data::Image image = data::read_image(file);
      images.resized.push_back(image.size != size);
      if (image.size != size) image = data::resized(image, size);
      set.pixels.insert(set.pixels.end(), image.pixels.begin(), image.pixels.end());
      set.sources.push_back(file);
    } catch (const Error& error) {
      if (error.code() != ExitCode::input) throw;
      faults += (faults.empty() ? "" : "\n  ") + std::string(error.what());
    }
  }
  if (!faults.empty()) fail(ExitCode::input, "{}", faults);
  set.test_count = std::ssize(set.sources);
  set.labels.resize(set.sources.size());
  data::ids_from_pixels(set);
  return images;
}

struct Guess {
  size_t label;
  double probability;
};

// Softmax of a row of logits, most probable first; of equals the smaller class.
std::vector<Guess> ranked(const float* logits, int64_t classes) {
  const double largest = *std::max_element(logits, logits + classes);
  std::vector<Guess> guesses(static_cast<size_t>(classes));
  double sum = 0;
  for (size_t c = 0; c < guesses.size(); ++c) {
    guesses[c] = {c, std::exp(logits[c] - largest)};
    sum += guesses[c].probability;
  }
  for (Guess& guess : guesses) guess.probability /= sum;
  std::ranges::stable_sort(guesses, std::ranges::greater{}, &Guess::probability);
  return guesses;
}

std::string line(const std::string& file, const std::vector<Guess>& guesses, size_t top,
                 const std::vector<std::string>& classes) {
  std::string text = file + " ";
  for (size_t i = 0; i < std::min(top, guesses.size()); ++i)
    text += fmt::format("{} {} {:.2f}%", i > 0 ? "," : "", classes[guesses[i].label],
                        100 * guesses[i].probability);
  return text + "\n";
}

std::string json_entry(const std::string& file, bool resized, const std::vector<Guess>& guesses,
                       const std::vector<std::string>& classes) {
  std::vector<double> probabilities(guesses.size());
  for (const Guess& guess : guesses) probabilities[guess.label] = guess.probability;
  std::string list;
  for (double p : probabilities) list += fmt::format("{}{:.8g}", list.empty() ? "" : ",", p);
  return fmt::format(
      "{{\"file\":{},\"class\":{},\"name\":{},\"resized\":{},\"probabilities\":[{}]}}",
      json_string(file), guesses.front().label, json_string(classes[guesses.front().label]),
      resized, list);
}

std::string json_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + json_string(name);
  return text;
}

}  // namespace

ExitCode run_predict(Settings& settings) {
  if (settings.arguments.size() < 2)
    fail(ExitCode::usage, "predict: expected a run or a model file, then images, got {} arguments",
         settings.arguments.size());
  apply_machine_options(settings);
  const std::filesystem::path weights =
      weights_of(settings.arguments.front(), settings.text("checkpoint"));
  const ModelFile file = load_model_file(weights);
  const ModelCard& card = file.card;
  if (card.spec.channels != 3)
    fail(ExitCode::input, "{}: reads images of {} channels, image files have 3", weights.string(),
         card.spec.channels);
  const Images images = read_images(std::span(settings.arguments).subspan(1), card);

  std::vector<int32_t> positions(images.set.sources.size());
  std::iota(positions.begin(), positions.end(), 0);
  data::Loader loader(images.set, {.positions = std::move(positions),
                                   .batch_size = settings.integer("batch-size")});
  std::string text;
  const bool json = settings.flag("json");
  nn::predict(file.model, loader, [&](const nn::Prediction& p) {
    for (int64_t i = 0; i < p.batch.size(); ++i) {
      const auto at = static_cast<size_t>(p.batch.index.as<int32_t>()[i]);
      const std::vector<Guess> guesses =
          ranked(p.logits.data() + i * card.spec.classes, card.spec.classes);
      const std::string& name = images.set.sources[at];
      text += json
                  ? (text.empty() ? "" : ",") +
                        json_entry(name, images.resized[at], guesses, card.classes)
                  : line(name, guesses, static_cast<size_t>(settings.integer("top")), card.classes);
    }
    return !stop_requested();
  });
  if (stop_requested()) return static_cast<ExitCode>(128 + stop_signal());
  if (const auto count = std::ranges::count(images.resized, true); count > 0)
    say("expunge: {} of {} images were resized to {} x {}\n", count, images.resized.size(),
        card.spec.width, card.spec.height);
  print_out(json ? fmt::format("{{\"schema\":\"expunge.predict/1\",\"model\":{},\"classes\":[{}],"
                               "\"images\":[{}]}}\n",
                               json_string(weights.string()), json_names(card.classes), text)
                 : text);
  return ExitCode::done;
}

}  // namespace expunge::tools
