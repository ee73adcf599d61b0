#include "tools/references.h"

#include <algorithm>

#include "core/check.h"
#include "nn/model_file.h"
#include "tools/model_card.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// Ids that a network never saw or should no longer know: F's and earlier ones', sorted.
std::vector<std::string> absent_ids(std::vector<std::string> forgotten,
                                    const std::vector<std::string>& earlier) {
  forgotten.insert(forgotten.end(), earlier.begin(), earlier.end());
  std::ranges::sort(forgotten);
  forgotten.erase(std::unique(forgotten.begin(), forgotten.end()), forgotten.end());
  return forgotten;
}

std::vector<std::string> absent_ids(const fs::path& run) {
  return absent_ids(read_ids(run / kForgetIds), read_ids(run / kEarlierIds));
}

[[noreturn]] void refuse(const fs::path& run, const char* as, const std::string& why) {
  fail(ExitCode::input, "{}: cannot {}: {}", run.string(), as, why);
}

}  // namespace

bool forgets_the_same(const fs::path& run, const Experiment& e) {
  return absent_ids(run) == absent_ids(e.forget_ids, e.earlier_ids);
}

void check_same_experiment(const fs::path& run, const RunStatus& status, const Settings& settings,
                           const Experiment& e, const char* as) {
  if (status.data_digest != e.data.digest) refuse(run, as, "it was trained on other data");
  const Settings its = run_settings(run, status.verb);
  for (const char* option : {"model", "val-fraction", "split-seed", "limit"})
    if (its.text(option) != settings.text(option))
      refuse(run, as,
             fmt::format("its {} is {}, expected {}", option, its.text(option),
                         settings.text(option)));
}

std::vector<Reference> load_references(const std::vector<std::string>& folders,
                                       const Settings& settings, const Experiment& e) {
  constexpr const char* kAs = "be a reference";
  std::vector<Reference> references;
  for (const std::string& folder : folders) {
    Reference r{.folder = folder, .status = read_run_json(folder), .model = {}};
    if (r.status.verb != "train" || r.status.status != "finished")
      refuse(folder, kAs,
             fmt::format("it is the {} run of expunge {}, expected a finished one of train",
                         r.status.status, r.status.verb));
    check_same_experiment(folder, r.status, settings, e, kAs);
    if (!forgets_the_same(folder, e)) {
      const size_t its = absent_ids(folder).size(),
                   wanted = absent_ids(e.forget_ids, e.earlier_ids).size();
      refuse(folder, kAs,
             fmt::format("{} samples were left out of its training, expected {}{}", its, wanted,
                         its == wanted ? " others" : ""));
    }
    r.model = nn::make_model(e.model.name, e.model.spec);
    nn::load_model(weights_of(folder, "last"), r.model);
    references.push_back(std::move(r));
  }
  return references;
}

}  // namespace expunge::tools
