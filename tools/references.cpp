#include "tools/references.h"

#include <algorithm>

#include "core/check.h"
#include "nn/model_file.h"
#include "tools/model_card.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse(const std::string& folder, const std::string& why) {
  fail(ExitCode::input, "{}: cannot be a reference: {}", folder, why);
}

// Ids that a run's network never saw or no longer knows: this run's and earlier ones', sorted.
std::vector<std::string> absent_ids(const fs::path& run) {
  std::vector<std::string> ids;
  for (const char* file : {kForgetIds, kEarlierIds})
    for (std::string& id : read_ids(run / file)) ids.push_back(std::move(id));
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::vector<std::string> absent_ids(const Experiment& e) {
  std::vector<std::string> ids;
  for (int32_t p : data::without(e.all_train, e.train))
    ids.push_back(e.data.ids[static_cast<size_t>(p)].hex());
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

std::vector<Reference> load_references(const std::vector<std::string>& folders,
                                       const Settings& settings, const Experiment& e) {
  std::vector<Reference> references;
  const std::vector<std::string> wanted = absent_ids(e);
  for (const std::string& folder : folders) {
    Reference r{.folder = folder, .status = read_run_json(folder), .model = {}};
    if (r.status.data_digest != e.data.digest) refuse(folder, "it was trained on other data");
    const Settings its = run_settings(folder, r.status.verb);
    for (const char* option : {"model", "val-fraction", "split-seed", "limit"})
      if (its.text(option) != settings.text(option))
        refuse(folder, fmt::format("its {} is {}, expected {}", option, its.text(option),
                                   settings.text(option)));
    const std::vector<std::string> absent = absent_ids(folder);
    if (absent != wanted)
      refuse(folder,
             fmt::format("{} samples were left out of its training, expected {}{}", absent.size(),
                         wanted.size(), absent.size() == wanted.size() ? " others" : ""));
    r.model = nn::make_model(e.model.name, e.model.spec);
    nn::load_model(weights_of(folder, "last"), r.model);
    references.push_back(std::move(r));
  }
  return references;
}

}  // namespace expunge::tools
