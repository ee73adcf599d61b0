#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>

#include "core/file.h"
#include "nn/model_file.h"
#include "tools/comparison.h"
#include "tools/file_lock.h"
#include "tools/machine.h"
#include "tools/measure.h"
#include "tools/model_card.h"
#include "tools/references.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// What a group of runs shares beside its label.
constexpr const char* kVariant[] = {
    "preset",    "lr",      "epochs", "batch-size",      "beta",
    "optimizer", "gate-on", "bn",     "unlearn-augment", "checkpoint"};

struct Candidate {
  std::string folder;
  RunStatus status;
  Settings settings;
};

std::vector<Candidate> candidates(const Settings& s) {
  std::vector<std::string> folders = s.list("reference");
  for (const std::string& folder : s.arguments)
    if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
  if (folders.empty()) fail(ExitCode::usage, "compare: expected run folders, got none");
  std::vector<Candidate> found;
  for (const std::string& folder : folders) {
    const RunStatus status = read_run_json(folder);
    if (status.status != "finished")
      fail(ExitCode::input, "{}: this run is {}, expected a finished one", folder, status.status);
    found.push_back({folder, status, run_settings(folder, status.verb)});
  }
  return found;
}

// The run whose forget set is compared on: the first that has one.
const Candidate& subject_of(const std::vector<Candidate>& runs) {
  const auto it = std::ranges::find_if(
      runs, [](const Candidate& c) { return fs::exists(fs::path(c.folder) / kForgetIds); });
  if (it == runs.end())
    fail(ExitCode::input, "{}: no run here forgot anything, there is nothing to compare on",
         runs.front().folder);
  return *it;
}

bool is_original(const Candidate& c) {
  return c.status.verb == "train" && !fs::exists(fs::path(c.folder) / kForgetIds);
}

// Of an original run the weights that the others started from, of others the last.
fs::path weights_in(const Candidate& c, const std::vector<Candidate>& all) {
  const fs::path last = weights_of(c.folder, "last");
  std::error_code error;
  const fs::path best = fs::path(c.folder) / "checkpoints" / "best.safetensors";
  if (!is_original(c) || !fs::exists(best, error)) return last;
  const std::string digest = sha256_of_file(best);
  const bool started = std::ranges::any_of(all, [&](const Candidate& other) {
    const auto it = other.status.facts.find("from_digest");
    return it != other.status.facts.end() && it->second == digest;
  });
  return started ? best : last;
}

std::string label_of(const Candidate& c) {
  if (c.status.verb == "train") return is_original(c) ? "original" : "retrained";
  const std::string& estimator = c.settings.text("estimator");
  return c.settings.text("method") + " " + c.settings.text("gate") +
         (estimator == "paper" ? "" : " " + estimator);
}

std::string variant_of(const Candidate& c) {
  std::string text;
  for (const Option& o : c.settings.options())
    if (c.status.verb == "unlearn" &&
        std::ranges::find(kVariant, std::string_view(o.name)) != std::end(kVariant))
      text += fmt::format("{}{}={}", text.empty() ? "" : " ", o.name, c.settings.text(o.name));
  return text;
}

void check_role(const Candidate& c, const Settings& of_subject, const Experiment& e) {
  constexpr const char* kAs = "be compared";
  check_same_experiment(c.folder, c.status, of_subject, e, kAs);
  if (!is_original(c) && !forgets_the_same(c.folder, e))
    fail(ExitCode::input, "{}: cannot {}: it forgot other samples than {}", c.folder, kAs,
         "the first run");
}

ComparedRun measure_one(const Candidate& c, const std::vector<Candidate>& all, Experiment& e,
                        const eval::ScoreConfig& config, const TriggeredTest& triggered) {
  const fs::path weights = weights_in(c, all);
  nn::load_model(weights, e.model);
  return {.folder = c.folder,
          .status = c.status,
          .label = label_of(c),
          .variant = variant_of(c),
          .seed = c.settings.text("seed"),
          .measured = measure(e, e.model, c.folder, weights, config),
          .attack_success = triggered.success(e.model),
          .trajectory = read_trajectory(c.folder)};
}

// In the order of `all`, but what another process measures just now comes later, when that has put
// it down (score_cache.h): many runs of a sweep are compared with the same retrained ones at once.
std::vector<ComparedRun> measure_all(const std::vector<Candidate>& all, Experiment& e,
                                     const eval::ScoreConfig& config) {
  const TriggeredTest triggered(e);
  std::vector<std::optional<ComparedRun>> found(all.size());
  while (!stop_requested() && std::ranges::any_of(found, [](const auto& run) { return !run; })) {
    bool waits = true;
    for (size_t i = 0; i < all.size() && !stop_requested(); ++i) {
      if (found[i]) continue;
      const auto turn = FileLock::try_lock(fs::path(all[i].folder) / "scores.lock");
      if (!turn) continue;
      found[i] = measure_one(all[i], all, e, config, triggered);
      waits = false;
    }
    if (waits) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::vector<ComparedRun> runs;
  for (std::optional<ComparedRun>& run : found)
    if (run) runs.push_back(std::move(*run));
  return runs;
}

// Every run against the retrained ones, itself left out.
void compare_all(std::vector<ComparedRun>& runs) {
  std::set<std::string> said;  // what holds for the references is said once
  for (ComparedRun& run : runs) {
    std::vector<eval::Measured> references;
    for (const ComparedRun& other : runs)
      if (other.label == "retrained" && &other != &run) references.push_back(other.measured);
    if (!references.empty()) run.comparison = eval::compare(run.measured, references);
    if (run.label == "retrained") continue;
    if (run.comparison)
      run.at_target =
          matched(run.trajectory, run.measured.scores.forget.accuracy - run.comparison->rUA);
    for (const std::string& warning : eval::warnings(run.measured.scores, references))
      if (said.insert(warning).second) say("expunge: warning: {}: {}\n", run.folder, warning);
  }
}

}  // namespace

ExitCode run_compare(Settings& settings) {
  apply_machine_options(settings);
  const std::vector<Candidate> all = candidates(settings);
  const Candidate& subject = subject_of(all);
  Experiment e = make_experiment(subject.settings, subject.folder);
  shorten_for_smoke(e, subject.settings);
  for (const Candidate& c : all) check_role(c, subject.settings, e);
  // a reference must be what its name says
  load_references(settings.list("reference"), subject.settings, e);
  const eval::ScoreConfig config = score_config(settings, e);
  std::vector<ComparedRun> runs = measure_all(all, e, config);
  if (stop_requested()) return static_cast<ExitCode>(128 + stop_signal());
  const auto rank = [](const ComparedRun& run) {
    return run.label == "retrained" ? 0 : run.label == "original" ? 1 : 2;
  };
  std::ranges::stable_sort(runs, {}, rank);
  compare_all(runs);
  const std::vector<RunGroup> groups = group_by_recipe(runs);
  if (!settings.text("csv").empty()) write_atomic(settings.text("csv"), comparison_csv(runs));
  const std::string& against = settings.text("against");
  const std::vector<Contrast> tests =
      against.empty() ? std::vector<Contrast>{} : group_contrasts(groups, against);
  std::string text =
      settings.flag("json") ? comparison_json(runs, groups, tests) : comparison_table(groups);
  if (!tests.empty() && !settings.flag("json"))
    text += fmt::format("\nPaired by seed, against {}:\n{}", against,
                        aligned(contrast_rows(tests, against)));
  print_out(text);
  return ExitCode::done;
}

}  // namespace expunge::tools
