#include "tools/shadow_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/draw_order.h"
#include "tools/model_card.h"
#include "tools/repeated.h"
#include "tools/run_folder.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

using Ids = std::vector<std::string>;  // ascending, each once

constexpr const char* kEvaluations = "1000000";  // epochs between them: none before the end

Ids sorted(Ids ids) {
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

Ids united(const Ids& a, const Ids& b) {
  Ids both;
  std::ranges::set_union(a, b, std::back_inserter(both));
  return both;
}

void refuse_run(const LoadedRun& run) {
  const std::string folder = run.folder.string();
  if (run.status.verb != "unlearn")
    fail(ExitCode::input, "{}: was made by expunge {}; ulira attacks runs of expunge unlearn",
         folder, run.status.verb);
  if (run.status.status != "finished")
    fail(ExitCode::input, "{}: is {}, expected a finished run; expunge unlearn --resume {}", folder,
         run.status.status, folder);
  if (run.settings.integer("smoke") > 0)
    fail(ExitCode::input, "{}: was a run of --smoke, which forgot a part of its samples only",
         folder);
  if (run.settings.text("until-forget-acc") == "reference")
    fail(ExitCode::input,
         "{}: cannot be repeated with other samples, for networks retrained without its own said "
         "when to stop (--until-forget-acc reference)",
         folder);
}

// Weights that are no longer those that the run in `folder` started from: ExitCode::input.
void require_original(const fs::path& weights, const RunStatus& status, const fs::path& folder) {
  const auto digest = status.facts.find("from_digest");
  if (digest == status.facts.end() || sha256_of_file(weights) != digest->second)
    fail(ExitCode::input, "{}: is no longer what {} started from", weights.string(),
         folder.string());
}

// The run that `run` was unlearned from, with its settings.
struct Original {
  fs::path folder;
  Settings settings;
};
Original original_of(const LoadedRun& run) {
  const fs::path folder = run.settings.text("from");
  std::error_code error;
  if (!fs::exists(folder / "config.toml", error) || !fs::exists(folder / "run.json", error))
    fail(ExitCode::input,
         "{}: is gone; {} was unlearned from it, and its recipe trains the shadows",
         folder.string(), run.folder.string());
  const RunStatus status = read_run_json(folder);
  if (status.verb != "train" || status.status != "finished")
    fail(ExitCode::input,
         "{}: is the {} run of expunge {}; shadows of {} need a finished one of expunge train, "
         "whose recipe they repeat",
         folder.string(), status.status, status.verb, run.folder.string());
  Original original{folder, run_settings(folder, "train")};
  if (original.settings.integer("smoke") > 0)
    fail(ExitCode::input, "{}: was a run of --smoke, which saw a part of its samples only",
         folder.string());
  require_original(original_weights(folder, run.settings.text("checkpoint")), run.status,
                   run.folder);
  return original;
}

std::string hash_of(const Experiment& e, const Ids& ids) {
  Sha256 hash;
  hash.update(e.data.digest.data(), e.data.digest.size());
  for (const std::string& id : ids) hash.update(id.data(), id.size());
  return to_hex(hash.digest());
}

// H_k of the shadows 2j and 2j + 1: a half of F each, drawn by j; of an odd number the even and the
// odd j have the larger one in turn.
Ids half_of(const Ids& ids, const std::string& hash, int64_t k) {
  std::vector<int32_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  const int64_t j = k / 2;
  data::shuffle_keyed(order, data::draw_key(hash, 0), rng::Purpose::halves,
                      static_cast<uint32_t>(j));
  const auto middle = order.begin() + (std::ssize(order) + j % 2) / 2;
  Ids half;
  for (auto it = k % 2 == 0 ? order.begin() : middle; it != (k % 2 == 0 ? middle : order.end());
       ++it)
    half.push_back(ids[static_cast<size_t>(*it)]);
  return sorted(half);
}

std::string seed_of(const std::string& hash, int64_t k) {
  const rng::Draw draw = rng::philox(data::draw_key(hash, 0), rng::Purpose::halves,
                                     {{~uint32_t{0}, static_cast<uint32_t>(k), 0, 0}});
  return fmt::format("{}", draw.word[0]);
}

Settings with(Settings settings, const char* option, const std::string& value) {
  settings.set(option, value, Source::flag, option);
  return settings;
}

// What is only measured on the way is left out: the numbers of a shadow are its margins.
Settings quiet(Settings unlearning) {
  unlearning = with(std::move(unlearning), "audit", "0");
  return unlearning.text("until-forget-acc").empty()
             ? with(std::move(unlearning), "eval-every", kEvaluations)
             : unlearning;
}

std::vector<std::string> on_device(std::vector<std::string> flags, const Settings& eval) {
  flags.push_back("--device=" + eval.text("device"));
  return flags;
}

}  // namespace

bool wants_ulira(const Settings& eval) {
  return std::ranges::count(eval.list("attacks"), "ulira") > 0;
}

void check_shadow_options(const Settings& eval) {
  if (!wants_ulira(eval)) {
    for (const char* option : {"shadows", "shadow-dir", "jobs"})
      if (eval.source(option) == Source::flag)
        fail(ExitCode::usage, "--{}: goes with --attacks ulira", option);
  } else if (eval.integer("shadows") % 2 != 0) {
    fail(ExitCode::usage,
         "--shadows {}: expected an even number, for shadows come in pairs with opposite halves",
         eval.integer("shadows"));
  }
}

ShadowPlan plan_shadows(const LoadedRun& run, const Settings& eval) {
  refuse_run(run);
  const Experiment& e = run.experiment;
  const Original original = original_of(run);
  const Ids ids = sorted(e.forget_ids), earlier = sorted(e.earlier_ids);
  if (ids.size() < 2)
    fail(ExitCode::input,
         "{}: forgot one sample; ulira needs two or more, for each shadow forgets "
         "a half",
         run.folder.string());
  const std::string hash = hash_of(e, ids);
  const std::string& folder = eval.text("shadow-dir");
  ShadowPlan plan{
      .originals = fs::absolute(folder.empty() ? original.folder / ("shadows-" + hash.substr(0, 8))
                                               : fs::path(folder)),
      .unlearned = fs::absolute(run.folder) / "shadows",
      .data_digest = e.data.digest,
      .shadows = {},
      .forgotten = {}};
  for (int64_t k = 0; k < eval.integer("shadows"); ++k) {
    const std::string name = fmt::format("{:03}", k), seed = seed_of(hash, k);
    const Ids half = half_of(ids, hash, k), other = half_of(ids, hash, k ^ 1);
    const Settings training = with(original.settings, "seed", seed),
                   unlearning = quiet(with(run.settings, "seed", seed));
    plan.shadows.push_back(
        {.name = name,
         .original = {plan.originals / name, training, on_device(training_flags(training), eval),
                      united(earlier, other)},
         .unlearned = {plan.unlearned / name, unlearning,
                       on_device(unlearning_flags(unlearning, run.folder.string()), eval), half,
                       plan.originals / name}});
    for (const int32_t p : e.forgotten)
      plan.forgotten.push_back(
          std::ranges::binary_search(half, e.data.ids[static_cast<size_t>(p)].hex()) ? 1 : 0);
  }
  return plan;
}

bool is_finished(const ShadowRun& run, const std::string& data_digest) {
  std::error_code error;
  if (!fs::exists(run.folder / "run.json", error)) return false;
  const std::string folder = run.folder.string();
  const auto refuse = [&](const std::string& why) {
    fail(ExitCode::input,
         "{}: is another run than this attack needs: {}; remove its folder, or name another one "
         "with --shadow-dir",
         folder, why);
  };
  RunStatus status = read_run_json(run.folder);
  if (status.verb != run.settings.verb()) refuse("it was made by expunge " + status.verb);
  if (status.data_digest != data_digest) refuse("it is about other data");
  const Settings its = run_settings(run.folder, status.verb);
  if (const char* option = difference(run.settings, its))
    refuse(fmt::format("its {} is {}, expected {}", option, its.text(option),
                       run.settings.text(option)));
  if (sorted(read_ids(run.folder / kForgetIds)) != run.forget) refuse("its forget set is another");
  if (status.status != "finished") return false;
  if (!run.from.empty() && fs::exists(run.from / "checkpoints", error))
    require_original(original_weights(run.from, run.settings.text("checkpoint")), status,
                     run.folder);
  return true;
}

}  // namespace expunge::tools
