#include "tools/forgetting.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "core/check.h"
#include "eval/threshold_attack.h"
#include "tools/held_out.h"
#include "tools/signals.h"

namespace expunge::tools {
namespace {

constexpr size_t kFew = 2000;  // samples of R and of the test part that are looked at on the way

bool go_on() {
  return !stop_requested();
}

double percent(const std::string& text) {
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > 100)
    fail(ExitCode::usage,
         "--until-forget-acc is '{}', expected a percentage from 0 to 100, or reference", text);
  return value / 100;
}

}  // namespace

Forgetting::Forgetting(const Experiment& e, const std::vector<Reference>& references,
                       const std::string& until)
    : e_(e), triggered_(e, kFew) {
  const auto add = [&](const char* name, const std::vector<int32_t>& all, bool few) {
    if (all.empty()) return;
    const data::LoaderConfig config = plain_batches(few ? few_of(all, e.data.digest, kFew) : all);
    parts_.push_back({name, std::make_unique<data::Loader>(e.data, config)});
  };
  add("forget", e.forgotten, false);
  add("retain", e.train, true);
  add("test", e.split.test, true);
  for (const Reference& r : references) {
    data::Loader loader(e.data, plain_batches(e.forgotten));
    const double accuracy = eval::measure_accuracy(r.model, loader, go_on).accuracy();
    reference_forget_acc_ =
        std::max(0.0, reference_forget_acc_) + accuracy / static_cast<double>(references.size());
  }
  if (until == "reference" && references.empty())
    fail(ExitCode::usage, "--until-forget-acc reference needs --reference RUN");
  if (!until.empty()) enough_ = until == "reference" ? reference_forget_acc_ : percent(until);
}

bool Forgetting::measure() {
  eval::Outputs forget;
  for (Part& part : parts_) {
    const eval::Outputs outputs = eval::collect_outputs(e_.model, *part.few, go_on);
    if (stop_requested()) return false;
    part.found = eval::accuracy_of(outputs);
    if (forget.empty()) forget = outputs;
    part.losses = eval::with_labels_of(outputs, forget).losses;
  }
  attack_success_ = triggered_.success(e_.model);
  return !stop_requested();
}

double Forgetting::auc() const {
  const Part& seen = parts_.front();
  const Part& unseen = parts_.back();
  if (unseen.name != std::string_view("test") || unseen.losses.empty()) return eval::kNotMeasured;
  const auto sureness = [](std::vector<double> losses) {
    for (double& loss : losses) loss = -loss;
    return losses;
  };
  return eval::roc_curve(sureness(seen.losses), sureness(unseen.losses)).auc();
}

std::string Forgetting::words_before() {
  std::string words;
  if (measure())
    for (const Part& part : parts_)
      words += fmt::format("  {} {:.2f}%", part.name, 100 * part.found.accuracy());
  if (triggered_) words += fmt::format("  attack success {:.2f}%", 100 * attack_success_);
  return words;
}

Findings Forgetting::during(RunStatus& status) {
  Findings found;
  if (!measure()) return found;
  for (const Part& part : parts_) {
    found.fields +=
        fmt::format(R"({}"{}_acc":{:.6g},"{}_loss":{:.6g})", found.fields.empty() ? "" : ",",
                    part.name, part.found.accuracy(), part.name, part.found.loss());
    found.words += fmt::format("{}{} {:.2f}%", found.words.empty() ? "" : "  ", part.name,
                               100 * part.found.accuracy());
  }
  if (const double area = auc(); !std::isnan(area))
    found.fields += fmt::format(R"(,"auc":{:.6g})", area);
  if (triggered_) {
    found.fields += fmt::format(R"(,"attack_success":{:.6g})", attack_success_);
    found.words += fmt::format("  attack success {:.2f}%", 100 * attack_success_);
  }
  const double forget_acc = parts_.front().found.accuracy();
  if (reference_forget_acc_ >= 0) {
    const double rua = forget_acc - reference_forget_acc_;
    found.fields += fmt::format(R"(,"rUA":{:.6g})", rua);
    found.words += fmt::format("  rUA {:+.2f}", 100 * rua);
  }
  found.enough = enough_ >= 0 && forget_acc <= enough_;
  const double target = enough_ >= 0 ? enough_ : reference_forget_acc_;
  if (forget_acc <= target && !status.measures.contains("steps_to_target"))
    status.measures["steps_to_target"] = static_cast<double>(status.steps);
  return found;
}

// The attacks that take no time are measured too, so that compare need not look at all samples
// again.
void Forgetting::at_end(RunStatus& status, const RunFolder& run) {
  const eval::Parts outputs = outputs_of(e_, e_.model);
  if (stop_requested()) return;
  tools::measure(e_, outputs, run.path(), run.model("last"), {.svc = false});
  const auto note = [&](const std::string& name, const eval::Outputs& of) {
    if (of.empty()) return;
    const eval::Accuracy a = eval::accuracy_of(of);
    status.measures[name + "_acc"] = a.accuracy();
    status.measures[name + "_loss"] = a.loss();
  };
  note("forget", outputs.forget);
  note("retain", outputs.retain);
  note("val", outputs.val);
  note("test", outputs.test);
  const double attack_success = TriggeredTest(e_).success(e_.model);
  if (stop_requested()) return;
  if (triggered_) status.measures["attack_success"] = attack_success;
  if (reference_forget_acc_ >= 0)
    status.measures["rUA"] = status.measures["forget_acc"] - reference_forget_acc_;
  if (status.measures.contains("test_acc")) {
    status.test_accuracy = status.measures["test_acc"];
    status.test_loss = status.measures["test_loss"];
  }
}

}  // namespace expunge::tools
