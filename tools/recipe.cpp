#include "tools/recipe.h"

#include <filesystem>

#include "core/file.h"
#include "tools/calibration.h"
#include "tools/config_file.h"
#include "tools/experiment.h"
#include "tools/machine.h"
#include "tools/sweep.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

// A recipe's first line is its summary, as a comment.
std::string summary(const ShippedRecipe& r) {
  const std::string text = r.toml;
  return text.substr(2, text.find('\n') - 2);
}

CalibrationConfig config_of(const Settings& s) {
  return {.draws = {.seed = static_cast<uint64_t>(s.integer("seed")),
                    .redraws = s.integer("redraws"),
                    .batch = s.integer("batch-size"),
                    .ema_steps = s.integer("ema-steps")},
          .estimators = s.list("estimators"),
          .risk = s.real("risk")};
}

CalibrationBands bands_of(const Settings& s) {
  return {.pit_excess = s.real("pit-excess"),
          .pit_excess_ema = s.real("pit-excess-ema"),
          .wide_excess = s.real("wide-excess"),
          .one_noise_excess = s.real("one-noise-excess"),
          .near_low = s.real("narrow-low"),
          .near_high = s.real("narrow-high"),
          .shrunk_error = s.real("shrunk-error")};
}

void write_results(const std::filesystem::path& folder, const std::vector<Calibration>& all) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ExitCode::io, "{}: {}", folder.string(), error.message());
  write_atomic(folder / "calibration.csv", calibration_csv(all));
  write_atomic(folder / "pit.svg", pit_svg(all));
  write_atomic(folder / "agreement.svg", agreement_svg(all));
  write_atomic(folder / "narrow.svg", narrow_svg(all));
}

}  // namespace

ExitCode run_recipe_list(Settings& settings) {
  const bool json = settings.flag("json");
  std::string text;
  for (const ShippedRecipe& r : shipped_recipes())
    text += json ? fmt::format("{}{{\"name\":{},\"summary\":{}}}", text.empty() ? "" : ",",
                               json_string(r.name), json_string(summary(r)))
                 : fmt::format("{:<20} {}\n", r.name, summary(r));
  if (json) text = fmt::format("{{\"schema\":\"expunge.list/1\",\"recipes\":[{}]}}\n", text);
  return print_out(text), ExitCode::done;
}

namespace {

ExitCode check_calibration(const RecipeText& chosen, Settings& settings) {
  read_config_text(chosen.toml, chosen.file, Source::inherited, settings);
  apply_machine_options(settings);
  if (settings.text("estimators").empty())
    fail(ExitCode::usage, "recipe check: --estimators names none");
  const std::vector<Calibration> all = calibrate(config_of(settings));
  if (!settings.text("out").empty()) write_results(settings.text("out"), all);
  std::string text = calibration_table(all);
  int broken = 0;
  for (const Verdict& v : verdicts(all, bands_of(settings))) {
    text += fmt::format("{:<4} {:<14} {:<38} {:>8.4f}  in {:.4g} .. {:.4g}\n",
                        v.holds() ? "ok" : "NOT", v.estimator, v.what, v.value, v.low, v.high);
    broken += v.holds() ? 0 : 1;
  }
  print_out(text);
  if (broken > 0)
    fail(ExitCode::verification, "recipe {}: {} of its numbers lie outside their bands",
         chosen.name, broken);
  return ExitCode::done;
}

}  // namespace

ExitCode run_recipe_check(Settings& settings) {
  const RecipeText chosen =
      recipe_text(single_argument(settings, "a recipe (expunge recipe list)"));
  if (is_sweep(chosen.toml, chosen.file)) return check_sweep(chosen, settings);
  return check_calibration(chosen, settings);
}

}  // namespace expunge::tools
