#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "tools/config_file.h"
#include "tools/held_out.h"
#include "tools/machine.h"
#include "tools/prediction.h"
#include "tools/run_verb.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// What a run like another does not take over.
const std::string kOwn[] = {"forget", "forget-seed", "threads", "device"};

void dry_run(const Settings& settings, Experiment& e, const Recipe& recipe) {
  const int64_t batch = std::min<int64_t>(settings.integer("batch-size"), std::ssize(e.train));
  int64_t steps = (std::ssize(e.train) + batch - 1) / batch * recipe.fit.epochs;
  if (recipe.fit.max_steps > 0) steps = std::min(steps, recipe.fit.max_steps);
  print_out(settings.to_toml());
  print_out(fmt::format(
      "\n# nothing was written; a run would have\n"
      "training samples    {} ({} validation, {} test, {} forgotten)\n{}",
      e.train.size(), e.split.val.size(), e.split.test.size(), e.forgotten.size(),
      words_of({.steps = steps,
                .batch_size = batch,
                .buffers = 2 + nn::state_buffers(recipe.optim.kind)},  // values, gradients, state
               e, recipe.optim)));
}

fs::path default_folder(const Settings& s) {
  const std::string data =
      s.text("data") == "builtin" ? "builtin" : fs::path(s.text("data")).stem().string();
  return fs::path("runs") / fmt::format("{}-{}-{}{}", data, s.text("model"), s.integer("seed"),
                                        s.text("forget").empty() ? "" : "-retrain");
}

// Everything that a training run is made of, in the order in which one needs the other.
struct Training {
  Training(const Settings& settings, Experiment& e, const Recipe& recipe, RunFolder& run,
           RunStatus status)
      : optimizer(e.model.params, recipe.optim),
        step(e.model, optimizer, recipe.loss),
        loader(e.data, recipe.loader),
        held_out(e),
        session(settings,
                {.fit = recipe.fit,
                 .model = e.model,
                 .optimizer = optimizer,
                 .step = step,
                 .source = loader},
                card_of(e.model, e.data), run, held_out, std::move(status)) {}
  nn::Optimizer optimizer;
  nn::SupervisedStep step;
  data::Loader loader;
  HeldOut held_out;
  Session session;
};

ExitCode resume(const Settings& typed) {
  const fs::path folder = typed.text("resume");
  RunFolder run = RunFolder::open(folder);
  const std::optional<ResumedRun> resumed = resumed_run(typed);
  if (!resumed) return ExitCode::done;
  const Settings& settings = resumed->settings;
  apply_machine_options(settings);
  Experiment experiment = make_experiment(settings, folder);
  resumed->check(experiment);
  const Recipe recipe = make_recipe(settings, experiment);
  Training training(settings, experiment, recipe, run, resumed->status);
  return report(training.session.resume(), folder, settings);
}

}  // namespace

ExitCode run_train(Settings& settings) {
  if (!settings.text("resume").empty()) return resume(settings);
  if (!settings.text("like").empty())
    read_config(fs::path(settings.text("like")) / "config.toml", Source::inherited, settings, kOwn);
  if (settings.flag("print-config")) return print_out(settings.to_toml()), ExitCode::done;
  apply_machine_options(settings);
  CheckpointRule::parse(settings.text("checkpoint-every"));
  EvaluationRule::parse(settings.text("eval-every"));
  Experiment experiment = make_experiment(settings);
  const Recipe recipe = make_recipe(settings, experiment);
  if (settings.flag("dry-run")) return dry_run(settings, experiment, recipe), ExitCode::done;
  const fs::path folder =
      settings.text("out").empty() ? default_folder(settings) : fs::path(settings.text("out"));
  require_space(folder, disk_bytes(experiment.model, nn::state_buffers(recipe.optim.kind)));
  RunFolder run = RunFolder::create(folder);
  write_config(run.config(), settings);
  if (!experiment.forget_ids.empty()) write_ids(folder / kForgetIds, experiment.forget_ids);
  Training training(settings, experiment, recipe, run, new_status(settings, experiment));
  return report(training.session.start(), folder, settings);
}

}  // namespace expunge::tools
