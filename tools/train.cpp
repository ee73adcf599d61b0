#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/memory.h"
#include "nn/ops.h"
#include "tools/config_file.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/trainer.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// Options that a resumed run takes from the command line; everything else is the run's.
const std::string kPerCall[] = {"threads", "progress", "json", "resume", "device"};

// What a run like another does not take over.
const std::string kOwn[] = {"forget", "forget-seed", "threads", "device"};

Settings resumed_settings(const Settings& typed) {
  const fs::path run = typed.text("resume");
  Settings settings = run_settings(run);
  for (const Option& o : typed.options()) {
    if (typed.source(o.name) < Source::file) continue;
    if (std::ranges::find(kPerCall, o.name) != std::end(kPerCall))
      settings.set(o.name, typed.text(o.name), Source::flag, o.name);
    else if (!o.saved || settings.text(o.name) != typed.text(o.name))
      fail(ExitCode::usage,
           "--{}: the configuration of {} is fixed; with --resume only --threads, --progress and "
           "--json",
           o.name, run.string());
  }
  return settings;
}

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
double step_seconds(Experiment& e, int64_t batch_size) {
  nn::Optimizer optimizer(e.model.params, e.optim);
  nn::SupervisedStep step(e.model, optimizer, e.loss);
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

// What a run's folder comes to: of the model last, best and one being written; of the state last,
// previous and one being written; and a little for the rest.
uint64_t disk_bytes(const Experiment& e) {
  const auto values = static_cast<uint64_t>(e.model.params.values().size() +
                                            e.model.params.statistic_values().size());
  const auto state = values * static_cast<uint64_t>(1 + nn::state_buffers(e.optim.kind));
  return (3 * values + 3 * state) * sizeof(float) + (uint64_t{1} << 16);
}

void dry_run(const Settings& settings, Experiment& e) {
  const int64_t batch =
      std::min<int64_t>(settings.integer("batch-size"), static_cast<int64_t>(e.train.size()));
  const int64_t per_epoch = (static_cast<int64_t>(e.train.size()) + batch - 1) / batch;
  int64_t steps = per_epoch * e.fit.epochs;
  if (e.fit.max_steps > 0) steps = std::min(steps, e.fit.max_steps);
  const int64_t buffers = 2 + nn::state_buffers(e.optim.kind);  // values, gradients, state
  const double memory = static_cast<double>(e.model.params.values().size() * 4 * buffers +
                                            static_cast<int64_t>(e.data.pixels.size()) +
                                            activation_bytes(e.model) * batch);
  const int64_t probe = std::min<int64_t>(batch, 32);
  const double seconds =
      step_seconds(e, probe) * static_cast<double>(batch) / static_cast<double>(probe);
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
      memory / (1 << 20), buffers, static_cast<double>(disk_bytes(e)) / (1 << 20),
      duration_text(seconds * static_cast<double>(steps)), probe));
}

fs::path default_folder(const Settings& s) {
  const std::string data =
      s.text("data") == "builtin" ? "builtin" : fs::path(s.text("data")).stem().string();
  return fs::path("runs") / fmt::format("{}-{}-{}{}", data, s.text("model"), s.integer("seed"),
                                        s.text("forget").empty() ? "" : "-retrain");
}

ExitCode report(const RunStatus& status, const fs::path& folder, bool json) {
  if (json) {
    print_out(run_json_text(status));
  } else if (status.status == "finished") {
    print_out(fmt::format("{}: {} steps in {}, test accuracy {:.2f}%\n", folder.string(),
                          status.steps, duration_text(status.seconds), 100 * status.test_accuracy));
  } else {
    say("{}: interrupted after step {} and saved; go on with: expunge train --resume {}\n",
        folder.string(), status.steps, folder.string());
  }
  return status.status == "finished" ? ExitCode::done : static_cast<ExitCode>(128 + stop_signal());
}

ExitCode resume(const Settings& typed) {
  const fs::path folder = typed.text("resume");
  RunFolder run = RunFolder::open(folder);
  const RunStatus before = read_run_json(folder);
  if (before.status == "finished") {
    say("{}: already complete\n", folder.string());
    return ExitCode::done;
  }
  if (before.status == "imported")
    fail(ExitCode::usage, "{}: was made by expunge convert, there is no training to go on with",
         folder.string());
  const Settings settings = resumed_settings(typed);
  apply_machine_options(settings);
  Experiment experiment = make_experiment(settings, folder);
  if (experiment.data.digest != before.data_digest)
    fail(ExitCode::input, "{}: is no longer the data set that {} was trained on",
         settings.text("data"), folder.string());
  Trainer trainer(settings, experiment, run, before.seconds);
  return report(trainer.resume(), folder, settings.flag("json"));
}

}  // namespace

ExitCode run_train(Settings& settings) {
  if (!settings.text("resume").empty()) return resume(settings);
  if (!settings.text("like").empty())
    read_config(fs::path(settings.text("like")) / "config.toml", Source::inherited, settings, kOwn);
  if (settings.flag("print-config")) return print_out(settings.to_toml()), ExitCode::done;
  apply_machine_options(settings);
  CheckpointRule::parse(settings.text("checkpoint-every"));
  Experiment experiment = make_experiment(settings);
  if (settings.flag("dry-run")) return dry_run(settings, experiment), ExitCode::done;
  const fs::path folder =
      settings.text("out").empty() ? default_folder(settings) : fs::path(settings.text("out"));
  require_space(folder, disk_bytes(experiment));
  RunFolder run = RunFolder::create(folder);
  write_config(run.config(), settings);
  if (!experiment.forgotten.empty())
    write_ids(folder / "forget.ids", experiment.data, experiment.forgotten);
  Trainer trainer(settings, experiment, run);
  return report(trainer.start(), folder, settings.flag("json"));
}

}  // namespace expunge::tools
