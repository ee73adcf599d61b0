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

// Ids that a network never saw or should no longer know: F's and earlier ones', sorted.
std::vector<std::string> absent_ids(std::vector<std::string> forgotten,
                                    const std::vector<std::string>& earlier) {
  forgotten.insert(forgotten.end(), earlier.begin(), earlier.end());
  std::ranges::sort(forgotten);
  forgotten.erase(std::unique(forgotten.begin(), forgotten.end()), forgotten.end());
  return forgotten;
}

}  // namespace

std::vector<Reference> load_references(const std::vector<std::string>& folders,
                                       const Settings& settings, const Experiment& e) {
  std::vector<Reference> references;
  const std::vector<std::string> wanted = absent_ids(e.forget_ids, e.earlier_ids);
  for (const std::string& folder : folders) {
    Reference r{.folder = folder, .status = read_run_json(folder), .model = {}};
    if (r.status.verb != "train" || r.status.status != "finished")
      refuse(folder, fmt::format("it is the {} run of expunge {}, expected a finished one of train",
                                 r.status.status, r.status.verb));
    if (r.status.data_digest != e.data.digest) refuse(folder, "it was trained on other data");
    const Settings its = run_settings(folder, r.status.verb);
    for (const char* option : {"model", "val-fraction", "split-seed", "limit"})
      if (its.text(option) != settings.text(option))
        refuse(folder, fmt::format("its {} is {}, expected {}", option, its.text(option),
                                   settings.text(option)));
    const std::vector<std::string> absent =
        absent_ids(read_ids(r.folder / kForgetIds), read_ids(r.folder / kEarlierIds));
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
