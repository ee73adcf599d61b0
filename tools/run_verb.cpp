#include "tools/run_verb.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/memory_cuda.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// Options that a resumed run takes from the command line; everything else is the run's.
const std::string kPerCall[] = {"threads", "progress", "json", "resume", "device"};

// A run goes on where it was begun: elsewhere it would end with other last digits.
std::string usable_device(const fs::path& folder, const RunStatus& status) {
  if (status.device != "cuda") return status.device.empty() ? "auto" : status.device;
  std::string problem = "this build has no CUDA backend";
  if constexpr (kCudaBuild) problem = cuda_problem(0);
  if (!problem.empty())
    fail(ExitCode::device,
         "{}: was computed on a GPU, and here {}; "
         "on the CPU it goes on with: expunge {} --resume {} --device cpu",
         folder.string(), problem, status.verb, folder.string());
  return "cuda";
}

}  // namespace

std::optional<ResumedRun> resumed_run(const Settings& typed) {
  const fs::path folder = typed.text("resume");
  const RunStatus status = read_run_json(folder);
  if (status.status == "finished") {
    say("{}: already complete\n", folder.string());
    return {};
  }
  if (status.status == "imported")
    fail(ExitCode::usage, "{}: was made by expunge convert, there is no training to go on with",
         folder.string());
  if (status.verb != typed.verb())
    fail(ExitCode::usage, "{}: was made by expunge {}; go on with: expunge {} --resume {}",
         folder.string(), status.verb, status.verb, folder.string());
  ResumedRun run{run_settings(folder, status.verb), status};
  for (const Option& o : typed.options()) {
    if (typed.source(o.name) < Source::file) continue;
    if (std::ranges::find(kPerCall, o.name) != std::end(kPerCall))
      run.settings.set(o.name, typed.text(o.name), Source::flag, o.name);
    else if (!o.saved || run.settings.text(o.name) != typed.text(o.name))
      fail(ExitCode::usage,
           "--{}: the configuration of {} is fixed; with --resume only --threads, --device, "
           "--progress and --json",
           o.name, folder.string());
  }
  if (typed.source("device") < Source::file)
    run.settings.set("device", usable_device(folder, status), Source::inherited, "device");
  return run;
}

void ResumedRun::check(const Experiment& e) const {
  if (e.data.digest != status.data_digest)
    fail(ExitCode::input, "{}: is no longer the data set that {} was trained on",
         settings.text("data"), settings.text("resume"));
}

RunStatus new_status(const Settings& settings, const Experiment& e) {
  return {.model = e.model.name,
          .data = settings.text("data"),
          .data_digest = e.data.digest,
          .parameters = e.model.parameter_count(),
          .train_samples = std::ssize(e.train),
          .forgotten = std::ssize(e.forgotten),
          .verb = settings.verb()};
}

uint64_t disk_bytes(const nn::Model& model, int buffers) {
  const auto values =
      static_cast<uint64_t>(model.params.values().size() + model.params.statistic_values().size());
  return (3 * values + 3 * values * static_cast<uint64_t>(1 + buffers)) * sizeof(float) +
         (uint64_t{1} << 16);
}

ExitCode report(const RunStatus& status, const fs::path& folder, const Settings& settings) {
  if (settings.flag("json")) {
    print_out(run_json_text(status));
  } else if (status.status == "finished") {
    std::string measures;
    for (const auto& [name, value] : status.measures)
      if (name.ends_with("_acc")) measures += fmt::format(", {} {:.2f}%", name, 100 * value);
    print_out(fmt::format(
        "{}: {} steps in {}{}\n", folder.string(), status.steps, duration_text(status.seconds),
        measures.empty() ? fmt::format(", test accuracy {:.2f}%", 100 * status.test_accuracy)
                         : measures));
  } else {
    say("{}: interrupted after step {} and saved; go on with: expunge {} --resume {}\n",
        folder.string(), status.steps, status.verb, folder.string());
  }
  return status.status == "finished" ? ExitCode::done : static_cast<ExitCode>(128 + stop_signal());
}

}  // namespace expunge::tools
