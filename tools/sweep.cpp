#include "tools/sweep.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <thread>

#include "core/file.h"
#include "core/nearest.h"
#include "core/parallel.h"
#include "tools/experiment.h"
#include "tools/file_lock.h"
#include "tools/machine.h"
#include "tools/run_folder.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/sweep_job.h"
#include "tools/sweep_report.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMaxRecipe = uint64_t{1} << 20;

// Runs the plan with several jobs side by side until nothing is left.
class Sweep {
 public:
  Sweep(const SweepRecipe& recipe, OptionValues everywhere, SweepPlace place, int64_t jobs,
        bool silent)
      : recipe_(recipe),
        everywhere_(std::move(everywhere)),
        place_(std::move(place)),
        rows_file_(place_.out / "rows.jsonl"),
        jobs_(jobs),
        silent_(silent),
        rows_(read_rows(rows_file_)),
        plan_(plan_sweep(recipe_, everywhere_, rows_)) {}

  void run() {
    begin_ = Clock::now();
    while (!stop_requested()) {
      while (std::ssize(running_) < jobs_ && start_next()) {
      }
      if (running_.empty()) break;
      poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    for (SweepJob& job : running_) job.stop();
    while (
        std::ranges::any_of(running_, [](SweepJob& job) { return !job.stopped() && !job.poll(); }))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }

  const std::vector<SweepRow>& rows() const { return rows_; }
  const SweepPlan& plan() const { return plan_; }
  int64_t pending() const {
    return std::ranges::count_if(plan_.runs,
                                 [&](const PlannedRun& run) { return !done(run) || lost(run); }) +
           plan_.waiting;
  }

 private:
  const SweepRow* row_of(const std::string& run) const {
    const auto it = std::ranges::find(rows_, run, &SweepRow::run);
    return it != rows_.end() ? &*it : nullptr;
  }
  bool done(const PlannedRun& run) const { return row_of(run.row.run) != nullptr; }
  bool is_there(const fs::path& folder) const {
    std::error_code error;
    return fs::exists(place_.out / folder / "run.json", error) &&
           read_run_json(place_.out / folder).status == "finished";
  }
  // A network whose row is there and whose folder is not, while others still need it: it is made
  // again.
  bool lost(const PlannedRun& run) const {
    if (run.verb != "train" || !done(run) || is_there(run.folder)) return false;
    return std::ranges::any_of(plan_.runs, [&](const PlannedRun& other) {
      return !done(other) && std::ranges::find(other.needs, run.row.run) != other.needs.end();
    });
  }
  // An original or retrained network that failed leaves nothing to do for those that need it.
  bool ready(const PlannedRun& run) const {
    return std::ranges::all_of(run.needs, [&](const std::string& needed) {
      const SweepRow* row = row_of(needed);
      if (row != nullptr && row->exit_code != 0)
        fail(static_cast<ExitCode>(row->exit_code), "{} needs {}, which failed: {}", run.row.run,
             needed, row->message);
      return row != nullptr && std::ranges::find(names_, needed) == names_.end() &&
             is_there(needed);
    });
  }

  bool start_next() {
    for (const PlannedRun& run : plan_.runs) {
      if ((done(run) && !lost(run)) || !ready(run) ||
          std::ranges::find(names_, run.row.run) != names_.end())
        continue;
      running_.emplace_back(place_, run);
      names_.push_back(run.row.run);
      return true;
    }
    return false;
  }

  void poll() {
    for (auto job = running_.begin(); job != running_.end();) {
      const std::optional<SweepRow> row = job->poll();
      if (row) finish(*row), job->take_away();
      if (job->stopped()) return;  // a signal came to it; it comes to us as well
      job = row ? running_.erase(job) : std::next(job);
    }
  }

  void finish(const SweepRow& row) {
    if (row_of(row.run) == nullptr) {  // else a network that was lost
      append_row(rows_file_, row);
      rows_.push_back(row);
    }
    std::erase(names_, row.run);
    plan_ = plan_sweep(recipe_, everywhere_, rows_);
    ++finished_;
    if (silent_) return;
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    const int64_t left = pending(), all = left + std::ssize(rows_);
    const std::string words = row.exit_code != 0    ? "failed: " + row.message
                              : row.numbers.empty() ? ""
                                                    : fmt::format("forget {:.2f}%  test {:.2f}%  ",
                                                                  100 * row.number("forget_acc"),
                                                                  100 * row.number("test_acc"));
    say("[{}/{}] {}  {}{:.0f} s  ({:.0f} min left)\n", all - left, all, row.run, words, row.seconds,
        seconds / static_cast<double>(finished_) * static_cast<double>(left) / 60);
  }

  const SweepRecipe& recipe_;
  OptionValues everywhere_;
  SweepPlace place_;
  fs::path rows_file_;
  int64_t jobs_;
  bool silent_;
  std::vector<SweepRow> rows_;
  SweepPlan plan_;
  std::list<SweepJob> running_;
  std::vector<std::string> names_;  // of those that run
  Clock::time_point begin_;
  int64_t finished_ = 0;
};

void write_results(const fs::path& out, const SweepRecipe& recipe, const Sweep& sweep) {
  write_atomic(out / "rows.csv", sweep_csv(sweep.rows()));
  write_atomic(out / "summary.md", sweep_report(recipe, sweep.plan(), sweep.rows(), markdown));
  for (const Grid& grid : recipe.grids)
    if (const std::string svg = grid.tunes() ? "" : trajectory_svg(recipe, grid, sweep.rows());
        !svg.empty())
      write_atomic(out / (grid.title() + ".svg"), svg);
}

// Makes the corrupted data set that the recipe asks for, unless it is there.
void corrupt_data(const SweepRecipe& recipe, const std::string& source, const fs::path& out) {
  const fs::path file = recipe.data();
  std::error_code error;
  if (fs::exists(file, error)) return;
  std::vector<std::string> arguments = {"data", "corrupt", source, "--out", file.string()};
  for (const auto& [name, value] : recipe.corruption)
    arguments.push_back("--" + name + "=" + value);
  const fs::path log = out / "corrupt.err";
  Child child(std::move(arguments), "/dev/null", log);
  const int code = wait_for(child);
  const std::string words = last_words(log);
  fs::remove(log, error);
  if (code != 0 && !stop_requested())
    fail(static_cast<ExitCode>(code), "corrupting {}: {}", source, words);
}

Keep keep_of(const Settings& settings) {
  if (settings.verb() != "sweep") return Keep::weights;
  const std::string& name = settings.text("keep");
  return name == "rows" ? Keep::rows : name == "weights" ? Keep::weights : Keep::all;
}

// As they are given, where they are: results are measured as they were computed.
OptionValues machine_options(const Settings& settings) {
  OptionValues options;
  for (const char* name : {"device", "precision", "conv-algo"})
    if (settings.given(name)) options.emplace_back(name, settings.text(name));
  return options;
}

// In this order: rows keep it.
OptionValues options_everywhere(const Settings& settings) {
  OptionValues options;
  if (settings.integer("smoke") > 0) options.emplace_back("smoke", settings.text("smoke"));
  if (settings.verb() == "sweep" && settings.integer("batch-size") > 0)
    options.emplace_back("batch-size", settings.text("batch-size"));
  for (auto& option : machine_options(settings)) options.push_back(std::move(option));
  return options;
}

std::string plan_text(const Sweep& sweep) {
  std::string text;
  for (const PlannedRun& run : sweep.plan().runs)
    text += fmt::format("{:<9} {}  {}\n", run.verb.empty() ? "compare" : run.verb, run.row.run,
                        run.row.arguments);
  return text + fmt::format("{} runs, {} of them when tuning is over; {} are still to make\n",
                            std::ssize(sweep.plan().runs) + sweep.plan().waiting,
                            sweep.plan().waiting, sweep.pending());
}

}  // namespace

RecipeText recipe_text(const std::string& name) {
  std::error_code error;
  if (fs::exists(name, error) && !fs::is_directory(name, error))
    return {fs::path(name).stem().string(), name, read_file(name, kMaxRecipe)};
  std::vector<std::string> names;
  for (const ShippedRecipe& r : shipped_recipes()) {
    if (name == r.name) return {r.name, fmt::format("recipe {}", r.name), r.toml};
    names.emplace_back(r.name);
  }
  fail(ExitCode::usage, "recipe '{}' is neither a file nor known{}; expunge recipe list names them",
       name, nearest_hint(name, names));
}

ExitCode sweep(SweepRecipe recipe, const Settings& settings, std::vector<SweepRow>* rows) {
  const int64_t smoke = settings.integer("smoke");
  const fs::path out = settings.text("out").empty()
                           ? fs::path("runs") / (recipe.name + (smoke > 0 ? "-smoke" : ""))
                           : fs::path(settings.text("out"));
  if (smoke > 0) recipe.one_run_a_cell();
  const std::string source = recipe.data();
  if (!recipe.corruption.empty()) recipe.set_data((out / "data.epk").string());
  const int64_t jobs = settings.integer("jobs");
  const SweepPlace place{.out = out,
                         .attacks = recipe.attacks,
                         .machine = machine_options(settings),
                         .jobs = jobs,
                         .threads = std::max(1, thread_count() / static_cast<int>(jobs)),
                         .keep = keep_of(settings)};
  Sweep sweep(recipe, options_everywhere(settings), place, jobs,
              settings.text("progress") == "none");
  const bool asks = settings.verb() == "sweep";  // recipe check has fewer options
  if (asks && settings.flag("dry-run")) return print_out(plan_text(sweep)), ExitCode::done;
  if (!asks || !settings.flag("table")) {
    std::error_code error;
    fs::create_directories(out, error);
    if (error) fail(ExitCode::io, "{}: {}", out.string(), error.message());
    const FileLock lock(out, "this sweep");
    if (!recipe.corruption.empty()) corrupt_data(recipe, source, out);
    sweep.run();
    write_results(out, recipe, sweep);
  }
  if (stop_requested()) return static_cast<ExitCode>(128 + stop_signal());
  if (rows != nullptr) *rows = sweep.rows();
  print_out(asks && settings.flag("json")
                ? sweep_json(recipe, sweep.rows())
                : sweep_report(recipe, sweep.plan(), sweep.rows(), aligned));
  return ExitCode::done;
}

namespace {

SweepRecipe sweep_recipe(const RecipeText& text, const Settings& settings) {
  SweepRecipe recipe = parse_sweep(text.toml, text.file, text.name);
  if (const std::string& data = settings.text("data"); !data.empty()) recipe.set_data(data);
  return recipe;
}

}  // namespace

ExitCode check_sweep(const RecipeText& text, const Settings& settings) {
  apply_machine_options(settings);
  const SweepRecipe recipe = sweep_recipe(text, settings);
  if (recipe.expectations.empty())
    fail(ExitCode::usage, "{}: has no [[expect]], nothing to check; expunge sweep makes its runs",
         text.file);
  std::vector<SweepRow> rows;
  const ExitCode code = sweep(recipe, settings, &rows);
  if (code != ExitCode::done || settings.integer("smoke") > 0) return code;
  const std::vector<std::string> broken = broken_expectations(recipe, rows);
  for (const std::string& sentence : broken) say("expunge: {}\n", sentence);
  if (!broken.empty())
    fail(ExitCode::verification, "recipe {}: {} of {} numbers are not as expected", recipe.name,
         broken.size(), recipe.expectations.size());
  print_out(fmt::format("recipe {}: all {} numbers are as expected\n", recipe.name,
                        recipe.expectations.size()));
  return ExitCode::done;
}

ExitCode run_sweep(Settings& settings) {
  const RecipeText text = recipe_text(
      single_argument(settings, "a recipe (a TOML file, or a name of expunge recipe list)"));
  if (!is_sweep(text.toml, text.file))
    fail(ExitCode::usage,
         "{}: has no [original], so it is no sweep; expunge recipe check {} runs it", text.file,
         text.name);
  if (settings.flag("table") || settings.flag("dry-run"))
    gpu_number(settings.text("device"));  // that of the runs, which need not be here
  else
    apply_machine_options(settings);
  return sweep(sweep_recipe(text, settings), settings);
}

}  // namespace expunge::tools
