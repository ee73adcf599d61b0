#include <fmt/core.h>

#include <cmath>
#include <filesystem>

#include "eval/accuracy.h"
#include "eval/compare.h"
#include "eval/npz.h"
#include "tools/experiment.h"
#include "tools/machine.h"
#include "tools/measure.h"
#include "tools/model_card.h"
#include "tools/references.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/ulira.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

struct Part {
  const char* name;
  std::vector<int32_t> Experiment::*own;        // where its positions stand, or
  std::vector<int32_t> data::Split::*of_split;  // there
  eval::Outputs eval::Parts::*outputs;
};
constexpr Part kParts[] = {{"train", &Experiment::train, nullptr, &eval::Parts::retain},
                           {"val", nullptr, &data::Split::val, &eval::Parts::val},
                           {"test", nullptr, &data::Split::test, &eval::Parts::test},
                           {"forget", &Experiment::forgotten, nullptr, &eval::Parts::forget}};

eval::Parts outputs_of_parts(const Experiment& e, const std::string& wanted, int64_t batch_size) {
  eval::Parts outputs;
  bool any = false;
  for (const Part& part : kParts) {
    const auto& positions = part.own != nullptr ? e.*part.own : e.split.*part.of_split;
    if ((wanted != "all" && wanted != part.name) || positions.empty()) continue;
    outputs.*part.outputs = outputs_of(e, e.model, positions, batch_size);
    any = true;
  }
  if (!any) fail(ExitCode::input, "this run has no {} samples", wanted);
  return outputs;
}

std::string class_table(const data::Dataset& set, const eval::Accuracy& a) {
  std::string text = fmt::format("\n  {:<16} {:>8} {:>9}   predicted as\n  {:<16} {:>8} {:>9} ",
                                 "class", "samples", "accuracy", "", "", "");
  for (int64_t p = 0; p < a.classes; ++p) text += fmt::format(" {:>6}", p);
  for (int64_t t = 0; t < a.classes; ++t) {
    text += fmt::format("\n  {:<16} {:>8} {:>8.2f}% ",
                        fmt::format("{} {}", t, set.classes[static_cast<size_t>(t)]), a.count(t),
                        100 * a.class_accuracy(t));
    for (int64_t p = 0; p < a.classes; ++p)
      text += fmt::format(" {:>6}", a.confusion[static_cast<size_t>(t * a.classes + p)]);
  }
  return text + "\n";
}

std::string json_part(const data::Dataset& set, const std::string& name, const eval::Accuracy& a) {
  std::string classes, confusion;
  for (int64_t t = 0; t < a.classes; ++t) {
    classes += fmt::format("{}{{\"name\":{},\"samples\":{},\"accuracy\":{:.8g}}}", t > 0 ? "," : "",
                           json_string(set.classes[static_cast<size_t>(t)]), a.count(t),
                           a.class_accuracy(t));
    confusion += t > 0 ? ",[" : "[";
    for (int64_t p = 0; p < a.classes; ++p)
      confusion += fmt::format("{}{}", p > 0 ? "," : "",
                               a.confusion[static_cast<size_t>(t * a.classes + p)]);
    confusion += "]";
  }
  return fmt::format(
      "\"{}\":{{\"samples\":{},\"correct\":{},\"accuracy\":{:.8g},\"loss\":{:.8g},\"classes\":[{}],"
      "\"confusion\":[{}]}}",
      name, a.samples, a.correct, a.accuracy(), a.loss(), classes, confusion);
}

// What the attacks found; beside it the retrained runs, where there are some.
std::string attack_table(const eval::Scores& scores, const eval::Comparison* against) {
  std::string text = fmt::format("\n  {:<32} {:>8}", "attacks on the forget samples", "value");
  if (against != nullptr) text += fmt::format(" {:>10} {:>8} {:>8}", "retrained", "sd", "gap");
  const auto percent = [](double x) {
    return std::isnan(x) ? std::string("-") : fmt::format("{:.2f}%", 100 * x);
  };
  const auto& metrics = eval::metrics();
  for (size_t i = 0; i < metrics.size(); ++i) {
    const eval::Metric& m = metrics[i];
    const bool of_attack = m.name.find("svc") == 0 || m.name.find("loss_attack") == 0 ||
                           m.name.find("auc") != m.name.npos || m.name.find("tpr") != m.name.npos;
    if (!of_attack || m.name.ends_with("_training") || std::isnan(m.get(scores))) continue;
    text += fmt::format("\n  {:<32} {:>8}", m.name, percent(m.get(scores)));
    if (against == nullptr) continue;
    const eval::Gap& gap = against->gaps[i];
    text += fmt::format(" {:>10} {:>8} {:>8}", percent(gap.reference.mean),
                        percent(gap.reference.sd), percent(gap.gap));
  }
  if (against != nullptr)
    text += fmt::format(
        "\n\n  rUA {:+.2f}  FID {:.2f}% (retrained among themselves {})  KL {:.4f} ({})  average "
        "gap {:.2f}",
        100 * against->rUA, 100 * against->forget.agreement, percent(against->among.agreement),
        against->forget.kl,
        std::isnan(against->among.kl) ? "-" : fmt::format("{:.4f}", against->among.kl),
        against->average_gap);
  return text + "\n";
}

std::string json_scores(const eval::Scores& scores, const eval::Comparison* against) {
  const auto number = [](double x) {
    return std::isfinite(x) ? fmt::format("{:.8g}", x) : std::string("null");
  };
  std::string values, gaps;
  for (const eval::Metric& m : eval::metrics())
    values += fmt::format("{}\"{}\":{}", values.empty() ? "" : ",", m.name, number(m.get(scores)));
  if (against == nullptr) return fmt::format(",\"scores\":{{{}}}", values);
  for (const eval::Gap& g : against->gaps)
    gaps += fmt::format("{}\"{}\":{{\"mean\":{},\"sd\":{},\"gap\":{},\"spreads\":{}}}",
                        gaps.empty() ? "" : ",", g.metric->name, number(g.reference.mean),
                        number(g.reference.sd), number(g.gap), number(g.spreads));
  return fmt::format(
      ",\"scores\":{{{}}},\"retrained\":{{\"runs\":{},\"rUA\":{},\"FID\":{},\"FID_among\":{},"
      "\"KL\":"
      "{},\"KL_among\":{},\"JS\":{},\"average_gap\":{},\"average_gap_among\":{},\"metrics\":{{{}}}}"
      "}",
      values, against->references, number(against->rUA), number(against->forget.agreement),
      number(against->among.agreement), number(against->forget.kl), number(against->among.kl),
      number(against->forget.js), number(against->average_gap), number(against->average_gap_among),
      gaps);
}

void dump(const std::string& file, const eval::Parts& parts) {
  std::vector<eval::NpyArray> arrays;
  for (const Part& part : kParts) {
    if ((parts.*part.outputs).empty()) continue;
    for (eval::NpyArray& array : eval::npy_arrays(part.name, parts.*part.outputs))
      arrays.push_back(std::move(array));
  }
  eval::write_npz(file, arrays);
}

// The attacks' part of the answer, as text and JSON.
struct AttackAnswer {
  std::string text, json;
};
AttackAnswer attack(const Settings& settings, const LoadedRun& run, const eval::Parts& parts,
                    const eval::ScoreConfig& config) {
  const Experiment& e = run.experiment;
  const eval::Measured measured{measure(e, parts, run.folder, run.weights, config), parts.forget};
  std::vector<eval::Measured> references;
  for (const Reference& r : load_references(settings.list("reference"), run.settings, e))
    references.push_back(measure(e, r.model, r.folder, weights_of(r.folder, "last"), config));
  if (stop_requested()) return {};
  for (const std::string& warning : eval::warnings(measured.scores, references))
    say("expunge: warning: {}\n", warning);
  if (references.empty())
    return {attack_table(measured.scores, nullptr), json_scores(measured.scores, nullptr)};
  const eval::Comparison against = eval::compare(measured, references);
  return {attack_table(measured.scores, &against), json_scores(measured.scores, &against)};
}

}  // namespace

ExitCode run_eval(Settings& settings) {
  const fs::path folder = single_argument(settings, "a run folder");
  apply_machine_options(settings);
  check_shadow_options(settings);
  const LoadedRun run = load_run(folder, settings.text("checkpoint"));
  const Experiment& e = run.experiment;
  const eval::ScoreConfig config = score_config(settings, e);
  std::optional<ShadowPlan> shadows;  // refused before anything is measured
  if (wants_ulira(settings)) shadows = plan_shadows(run, settings);
  const std::string& wanted = settings.text("part");
  const eval::Parts parts = outputs_of_parts(e, wanted, settings.integer("batch-size"));
  if (stop_requested()) return static_cast<ExitCode>(128 + stop_signal());
  std::string text, json, attack_success;
  for (const Part& part : kParts) {
    if ((parts.*part.outputs).empty()) continue;
    const eval::Accuracy a = eval::accuracy_of(parts.*part.outputs);
    text += fmt::format("{:<7} {:>7} samples  accuracy {:>6.2f}%  loss {:.4f}\n", part.name,
                        a.samples, 100 * a.accuracy(), a.loss());
    if (wanted == part.name || part.name == std::string_view("test"))
      text += class_table(e.data, a);
    json += (json.empty() ? "" : ",") + json_part(e.data, part.name, a);
  }
  if (const TriggeredTest triggered(e); triggered && wanted == "all") {
    const double success = triggered.success(e.model);
    text += fmt::format(
        "{:<7} {:>7} samples  attack success {:>6.2f}%: test samples with the "
        "trigger taken for {}\n",
        "trigger", triggered.samples(), 100 * success,
        e.data.classes[static_cast<size_t>(e.data.trigger.target)]);
    attack_success = fmt::format(",\"attack_success\":{:.8g}", success);
  }
  if (!settings.text("dump-npz").empty()) dump(settings.text("dump-npz"), parts);
  AttackAnswer found;
  if (any_attack(config) && wanted == "all") found = attack(settings, run, parts, config);
  if (shadows && !stop_requested())
    if (const auto answer = ulira_answer(*shadows, e, settings))
      found.text += answer->text, found.json += answer->json;
  if (stop_requested()) return static_cast<ExitCode>(128 + stop_signal());
  const std::string file = run.weights.filename().string();
  if (settings.flag("json"))
    print_out(fmt::format(
        "{{\"schema\":\"expunge.eval/1\",\"run\":{},\"checkpoint\":{},\"parts\":{{{}}}{}{}}}\n",
        json_string(folder.string()), json_string(file), json, attack_success, found.json));
  else
    print_out(fmt::format("{}, {}\n{}{}", folder.string(), file, text, found.text));
  return ExitCode::done;
}

}  // namespace expunge::tools
