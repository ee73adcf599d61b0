#include "tools/model_card.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "nn/model_file.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxSide = 16384, kMaxClasses = 65536;

class Fields {
 public:
  Fields(const Metadata& metadata, const fs::path& path) : metadata_(metadata), path_(path) {}

  Json json(const char* key) const {
    const auto it = metadata_.find(key);
    Json value = it == metadata_.end() ? Json() : Json::parse(it->second, nullptr, false);
    if (value.is_null() || value.is_discarded()) refuse(key);
    return value;
  }
  int64_t extent(const char* key, int64_t most) const {
    const Json value = json(key);
    if (!value.is_number_unsigned() || value < 1 || value > most) refuse(key);
    return value.get<int64_t>();
  }
  std::vector<std::string> names(const char* key) const {
    const Json value = json(key);
    if (!value.is_array() || value.empty() || value.size() > kMaxClasses) refuse(key);
    std::vector<std::string> names;
    for (const Json& name : value) {
      if (!name.is_string()) refuse(key);
      names.push_back(name.get<std::string>());
    }
    return names;
  }
  std::array<float, 3> channels(const char* key, int64_t count) const {
    const Json value = json(key);
    std::array<float, 3> numbers{};
    if (!value.is_array() || std::ssize(value) != count) refuse(key);
    for (size_t c = 0; c < value.size(); ++c) {
      if (!value[c].is_number()) refuse(key);
      numbers[c] = value[c].get<float>();
      if (!std::isfinite(numbers[c])) refuse(key);
    }
    return numbers;
  }
  [[noreturn]] void refuse(const char* key) const {
    fail(ExitCode::input, "{}: the metadata '{}' is missing or out of range for a model of ours",
         path_.string(), key);
  }

 private:
  const Metadata& metadata_;
  const fs::path& path_;
};

Json numbers(const std::array<float, 3>& values, int64_t channels) {
  return std::vector<double>(values.begin(), values.begin() + channels);
}

}  // namespace

ModelCard card_of(const nn::Model& model, const data::Dataset& set) {
  return {.model = model.name,
          .spec = model.spec,
          .classes = set.classes,
          .mean = set.mean,
          .std = set.std};
}

void save_model_file(const fs::path& path, const nn::Model& model, const ModelCard& card) {
  const int64_t channels = card.spec.channels;
  nn::save_model(
      path, model,
      {{"model", card.model},
       {"height", std::to_string(card.spec.height)},
       {"width", std::to_string(card.spec.width)},
       {"channels", std::to_string(channels)},
       {"classes", Json(card.classes).dump(-1, ' ', false, Json::error_handler_t::replace)},
       {"mean", numbers(card.mean, channels).dump()},
       {"std", numbers(card.std, channels).dump()}});
}

std::optional<ModelCard> read_card(const Metadata& metadata, const fs::path& path) {
  if (!metadata.contains("model") || !metadata.contains("classes")) return {};
  const Fields fields(metadata, path);
  ModelCard card;
  card.model = metadata.at("model");
  card.spec = {.height = fields.extent("height", kMaxSide),
               .width = fields.extent("width", kMaxSide),
               .channels = fields.extent("channels", 3)};
  card.classes = fields.names("classes");
  card.spec.classes = std::ssize(card.classes);
  card.mean = fields.channels("mean", card.spec.channels);
  card.std = fields.channels("std", card.spec.channels);
  for (int64_t c = 0; c < card.spec.channels; ++c)
    if (card.std[static_cast<size_t>(c)] <= 0) fields.refuse("std");
  return card;
}

ModelFile load_model_file(const fs::path& path) {
  const SafeTensors file = read_safetensors(path);
  std::optional<ModelCard> card = read_card(file.metadata, path);
  if (!card)
    fail(
        ExitCode::input,
        "{}: does not say what its classes are and how its images were normalised; expunge convert "
        "{} RUN --data FILE makes a run of it",
        path.string(), path.string());
  nn::Model model = nn::make_model({card->model, card->spec}, file, path);
  return {.card = std::move(*card), .model = std::move(model)};
}

fs::path weights_of(const fs::path& run_or_file, const std::string& which) {
  std::error_code error;
  if (!fs::is_directory(run_or_file, error)) return run_or_file;
  const fs::path folder = run_or_file / "checkpoints";
  if (!fs::is_directory(folder, error))
    fail(ExitCode::input, "{}: is a folder without checkpoints/, expected a run or a model file",
         run_or_file.string());
  const fs::path file = folder / ((which == "auto" ? "last" : which) + ".safetensors");
  if (!fs::exists(file, error))
    fail(ExitCode::input, "{}: the run has no such checkpoint", file.string());
  return file;
}

fs::path original_weights(const fs::path& run, const std::string& which) {
  std::error_code error;
  const bool has_best = fs::exists(run / "checkpoints" / "best.safetensors", error);
  return weights_of(run, which == "auto" && has_best ? "best" : which);
}

}  // namespace expunge::tools
