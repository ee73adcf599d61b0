#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "core/file.h"
#include "core/memory.h"
#include "nn/model_file.h"
#include "tools/config_file.h"
#include "tools/forgetting.h"
#include "tools/machine.h"
#include "tools/method_options.h"
#include "tools/prediction.h"
#include "tools/rewind.h"
#include "tools/run_verb.h"
#include "tools/say.h"
#include "tools/session.h"
#include "tools/unlearning.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// What a run takes over from the one that it starts from, and what an unlearning run calls it.
constexpr const char* kInherited[] = {"data",       "limit", "val-fraction",
                                      "split-seed", "model", "augment"};

fs::path original_of(const Settings& s) {
  const std::string& from = s.text("from");
  if (from.empty())
    fail(ExitCode::usage, "unlearn: --from RUN is missing, the run to unlearn from");
  std::error_code error;
  if (fs::is_regular_file(from, error))
    fail(ExitCode::usage,
         "--from {}: is a file; expunge convert {} RUN --data FILE makes a run of it", from, from);
  return from;
}

void inherit(Settings& s) {
  const fs::path from = original_of(s);
  const RunStatus status = read_run_json(from);
  const Settings original = run_settings(from, status.verb);
  if (has_compat(s, "ufv")) s.set("split-seed", s.text("seed"), Source::inherited, "compat ufv");
  for (const std::string name : kInherited) {
    if (name == "split-seed" && has_compat(s, "ufv")) continue;
    if (s.source(name) >= Source::file && s.text(name) != original.text(name))
      fail(ExitCode::usage, "--{}: comes from {}, where it is {}", name, from.string(),
           original.text(name));
    s.set(name, original.text(name), std::max(s.source(name), Source::inherited), name);
  }
}

// Where the split is not the original's (--compat ufv), some of F are samples that it held out.
void name_never_trained(const Settings& s, const Experiment& e) {
  const fs::path from = original_of(s);
  const Settings original = run_settings(from, read_run_json(from).verb);
  if (original.text("split-seed") == s.text("split-seed")) return;
  const std::vector<int32_t> held_out = data::make_split(e.data, split_options(original)).val;
  const auto never = std::ranges::count_if(
      e.forgotten, [&](int32_t p) { return std::ranges::find(held_out, p) != held_out.end(); });
  say("expunge: note: {} of the {} samples to forget are validation samples of {}, which was never "
      "trained on them\n",
      never, e.forgotten.size(), from.string());
}

// Flat buffers of a run at most, beside the optimizer's: values, two gradients, their statistics.
constexpr int kBuffers = 9;

// Ids that the original run, and those before it, no longer know.
std::vector<std::string> earlier_ids(const fs::path& from) {
  std::vector<std::string> ids = read_ids(from / kEarlierIds);
  for (std::string& id : read_ids(from / kForgetIds)) ids.push_back(std::move(id));
  return ids;
}

fs::path default_folder(const Settings& s) {
  std::string name = fmt::format("{}-{}-{}-{}", original_of(s).filename().string(),
                                 s.text("method"), s.text("gate"), s.integer("seed"));
  for (const char c : {':', ',', '='}) std::ranges::replace(name, c, '-');
  return fs::path("runs") / name;
}

// Classes of which no sample is retained: right when a class is to be forgotten, worth a word
// otherwise.
void name_missing_classes(const Experiment& e) {
  std::vector<int64_t> count(e.data.classes.size());
  for (int32_t p : e.train) ++count[e.data.labels[static_cast<size_t>(p)]];
  for (size_t c = 0; c < count.size(); ++c)
    if (count[c] == 0)
      say("expunge: note: no sample of class {} {} is retained\n", c, e.data.classes[c]);
}

std::string json_of(const char* name, const unlearn::TTest& test) {
  const auto number = [](double x) {
    return std::isfinite(x) ? fmt::format("{:.6g}", x) : std::string("null");
  };
  return fmt::format(R"("{}":{{"mean":{},"t":{},"nu":{},"p":{}}})", name, number(test.mean),
                     number(test.t), number(test.nu), number(test.p));
}

std::string json_of(const char* name, const unlearn::SideAudit& side) {
  return fmt::format(R"("{}":{{"batches":{},{},{}}})", name, side.loss.n,
                     json_of("gradient", side.gradient), json_of("loss", side.loss));
}

StepNote note_of(const unlearn::AuditedStep& step) {
  const auto* report = step.report();
  if (report == nullptr) return {};
  return {.type = "audit",
          .fields = json_of("forget", report->forget) + "," + json_of("retain", report->retain),
          .seconds = report->seconds};
}

StepNote note_of(const unlearn::OneShot& step) {
  StepNote note{.type = "one_shot"};
  for (const unlearn::Fact& fact : step.facts())
    note.fields +=
        fmt::format(R"({}"{}":{:.6g})", note.fields.empty() ? "" : ",", fact.name, fact.value);
  return note;
}

std::function<StepNote()> notes_of(const Unlearning& unlearning) {
  if (const auto* step = unlearning.audited()) return [step] { return note_of(*step); };
  if (const auto* step = unlearning.one_shot()) return [step] { return note_of(*step); };
  return {};
}

SessionParts parts_of(Unlearning& unlearning, const std::optional<Rewind>& rewind) {
  SessionParts parts{.fit = unlearning.fit(),
                     .model = unlearning.model(),
                     .optimizer = unlearning.optimizer(),
                     .step = unlearning.step(),
                     .source = unlearning.source(),
                     .buffers = unlearning.buffers(),
                     .counts_correct = false,
                     .note = notes_of(unlearning),
                     .shown = [&unlearning]() -> const nn::Model& { return unlearning.shown(); }};
  if (rewind) {
    parts.epoch_over = [&rewind](int epoch) { rewind->keep(epoch); };
    parts.conclude = [&rewind](RunStatus& status) { rewind->choose(status); };
  }
  return parts;
}

std::optional<Rewind> rewind_of(const Settings& settings, Experiment& e, const RunFolder& run) {
  if (!settings.flag("rewind")) return {};
  return std::optional<Rewind>(std::in_place, e, run);
}

void add_measures(const fs::path& folder, RunStatus& status, const Unlearning& unlearning) {
  if (status.status != "finished") return;
  status.measures["passes"] =
      status.measures["passes_before"] +
      static_cast<double>(status.steps) * static_cast<double>(unlearning.passes_per_step());
  status.measures["peak_bytes"] =
      static_cast<double>(pool_stats(compute_stream().device).peak_bytes_in_use);
  write_run_json(folder, status);
}

// Of the weights that --rewind keeps.
uint64_t rewind_bytes(const Settings& settings, const nn::Model& model) {
  if (!settings.flag("rewind")) return 0;
  return static_cast<uint64_t>(settings.integer("epochs")) *
         static_cast<uint64_t>(model.params.values().size()) * sizeof(float);
}

ExitCode dry_run(const Settings& settings, Experiment& e, Unlearning& unlearning) {
  const int64_t steps = unlearning.steps();
  const nn::OptimConfig optim = optimizer_config(settings);
  print_out(settings.to_toml());
  print_out(
      fmt::format("\n# nothing was written; a run would have\n"
                  "forgotten           {} samples, {} retained, {} validation, {} test\n{}",
                  e.forgotten.size(), e.train.size(), e.split.val.size(), e.split.test.size(),
                  words_of({.steps = steps,
                            .step_passes = unlearning.passes_per_step(),
                            .batch_size = settings.integer("batch-size"),
                            .buffers = kBuffers + nn::state_buffers(optim.kind)},
                           e, optim)));
  return ExitCode::done;
}

ExitCode resume(const Settings& typed) {
  const fs::path folder = typed.text("resume");
  RunFolder run = RunFolder::open(folder);
  const std::optional<ResumedRun> resumed = resumed_run(typed);
  if (!resumed) return ExitCode::done;
  Settings settings = resumed->settings;
  resolve_method_options(settings, unlearn::method(settings.text("method")),
                         unlearn::preset(settings.text("preset")));  // of a run that is older
  apply_machine_options(settings);
  Experiment e = make_experiment(settings, folder);
  resumed->check(e);
  const fs::path weights = original_weights(original_of(settings), settings.text("checkpoint"));
  if (sha256_of_file(weights) != resumed->status.facts.at("from_digest"))
    fail(ExitCode::input, "{}: is no longer what {} started from", weights.string(),
         folder.string());
  nn::load_model(weights, e.model);
  const std::vector<Reference> references =
      load_references(settings.list("reference"), settings, e);
  Unlearning unlearning(settings, e);
  Forgetting forgetting(e, references, settings.text("until-forget-acc"));
  const std::optional<Rewind> rewind = rewind_of(settings, e, run);
  RunStatus status = Session(settings, parts_of(unlearning, rewind), card_of(e.model, e.data), run,
                             forgetting, resumed->status)
                         .resume();
  add_measures(folder, status, unlearning);
  return report(status, folder, settings);
}

}  // namespace

ExitCode run_unlearn(Settings& settings) {
  if (!settings.text("resume").empty()) return resume(settings);
  resolve_preset(settings);
  inherit(settings);
  if (settings.flag("print-config")) return print_out(settings.to_toml()), ExitCode::done;
  if (settings.text("forget").empty())
    fail(ExitCode::usage, "unlearn: --forget SPEC is missing, for example random:0.1 or class:3");
  apply_machine_options(settings);
  CheckpointRule::parse(settings.text("checkpoint-every"));
  EvaluationRule::parse(settings.text("eval-every"));
  Experiment e = make_experiment(settings, {}, earlier_ids(original_of(settings)));
  name_missing_classes(e);
  name_never_trained(settings, e);
  const fs::path weights = original_weights(original_of(settings), settings.text("checkpoint"));
  nn::load_model(weights, e.model);
  const std::vector<Reference> references =
      load_references(settings.list("reference"), settings, e);
  Unlearning unlearning(settings, e);
  Forgetting forgetting(e, references, settings.text("until-forget-acc"));
  if (settings.flag("rewind")) Rewind::reference_samples(e);  // refused before anything is written
  if (settings.flag("dry-run")) return dry_run(settings, e, unlearning);
  const fs::path folder =
      settings.text("out").empty() ? default_folder(settings) : fs::path(settings.text("out"));
  require_space(folder, disk_bytes(e.model, kBuffers) + rewind_bytes(settings, e.model));
  RunFolder run = RunFolder::create(folder);
  write_config(run.config(), settings);
  write_ids(folder / kForgetIds, e.forget_ids);
  if (!e.earlier_ids.empty()) write_ids(folder / kEarlierIds, e.earlier_ids);
  RunStatus begun = new_status(settings, e);
  begun.facts = {{"method", settings.text("method")},
                 {"gate", settings.text("gate")},
                 {"estimator", settings.text("estimator")},
                 {"from", fs::absolute(settings.text("from")).string()},
                 {"from_digest", sha256_of_file(weights)}};
  if (settings.text("progress") != "none")
    say("{} samples to forget, {} retained, before:{}\n", e.forgotten.size(), e.train.size(),
        forgetting.words_before());
  const auto begin = std::chrono::steady_clock::now();
  const std::optional<Rewind> rewind = rewind_of(settings, e, run);
  begun.measures["passes_before"] = static_cast<double>(unlearning.prepare());
  begun.seconds = begun.work_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  RunStatus status = Session(settings, parts_of(unlearning, rewind), card_of(e.model, e.data), run,
                             forgetting, begun)
                         .start();
  add_measures(folder, status, unlearning);
  return report(status, folder, settings);
}

}  // namespace expunge::tools
