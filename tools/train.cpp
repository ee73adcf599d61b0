#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/memory.h"
#include "nn/ops.h"
#include "tools/config_file.h"
#include "tools/held_out.h"
#include "tools/run_verb.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// What a run like another does not take over.
const std::string kOwn[] = {"forget", "forget-seed", "threads", "device"};

// The measured growth of the pool over one recorded forward pass of two samples, per sample.
int64_t activation_bytes(const nn::Model& model) {
  Tape tape;
  const Tensor grads = model.params.make_buffer();
  ParamStore scratch = model.params.clone();  // batch norm writes its running statistics
  tape.bind(scratch, {grads, 0.0f});
  const StepScalars scalars;
  const Ctx ctx{.params = &scratch,
                .tape = &tape,
                .mode = Mode::train,
                .batch_norm = BatchNormMode::frozen,
                .scalars = &scalars};
  const int64_t before = pool_stats().bytes_in_use;
  const Var logits = model.network->forward(
      ctx,
      {Tensor::zeros({2, model.spec.height, model.spec.width, model.spec.channels}), Var::kNone});
  return (pool_stats().bytes_in_use - before) / 2;
}

// Seconds of one step on zeros, the second of two.
double step_seconds(Experiment& e, const Recipe& recipe, int64_t batch_size) {
  nn::Optimizer optimizer(e.model.params, recipe.optim);
  nn::SupervisedStep step(e.model, optimizer, recipe.loss);
  Batch batch;
  batch.x =
      Tensor::zeros({batch_size, e.model.spec.height, e.model.spec.width, e.model.spec.channels});
  batch.labels = Tensor::zeros({batch_size}, DType::i32);
  double seconds = 0;
  for (int i = 0; i < 2; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    step.run(batch, {.step = i});
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return seconds;
}

void dry_run(const Settings& settings, Experiment& e, const Recipe& recipe) {
  const int64_t batch =
      std::min<int64_t>(settings.integer("batch-size"), static_cast<int64_t>(e.train.size()));
  const int64_t per_epoch = (static_cast<int64_t>(e.train.size()) + batch - 1) / batch;
  int64_t steps = per_epoch * recipe.fit.epochs;
  if (recipe.fit.max_steps > 0) steps = std::min(steps, recipe.fit.max_steps);
  const int64_t buffers = 2 + nn::state_buffers(recipe.optim.kind);  // values, gradients, state
  const double memory = static_cast<double>(e.model.params.values().size() * 4 * buffers +
                                            static_cast<int64_t>(e.data.pixels.size()) +
                                            activation_bytes(e.model) * batch);
  const int64_t probe = std::min<int64_t>(batch, 32);
  const double seconds =
      step_seconds(e, recipe, probe) * static_cast<double>(batch) / static_cast<double>(probe);
  print_out(settings.to_toml());
  print_out(fmt::format(
      "\n# nothing was written; a run would have\n"
      "training samples    {} ({} validation, {} test, {} forgotten)\n"
      "model               {}: {} parameters, {:.1f} M multiply-adds a sample\n"
      "steps               {} ({} an epoch)\n"
      "memory              {:.0f} MiB (data, {} parameter buffers, measured activations)\n"
      "disk                {:.0f} MiB\n"
      "time                {} (a step measured on {} zero images)\n",
      e.train.size(), e.split.val.size(), e.split.test.size(), e.forgotten.size(), e.model.name,
      e.model.parameter_count(), static_cast<double>(e.model.macs()) / 1e6, steps, per_epoch,
      memory / (1 << 20), buffers,
      static_cast<double>(disk_bytes(e.model, nn::state_buffers(recipe.optim.kind))) / (1 << 20),
      duration_text(seconds * static_cast<double>(steps)), probe));
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
