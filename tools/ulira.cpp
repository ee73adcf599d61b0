#include "tools/ulira.h"

#include <fmt/core.h>

#include "eval/ulira.h"
#include "tools/shadows.h"
#include "tools/signals.h"

namespace expunge::tools {
namespace {

std::string cell(const eval::Interval& i) {
  return fmt::format("{:6.2f}% ({:.2f} to {:.2f})", 100 * i.value, 100 * i.low, 100 * i.high);
}

std::string row(const char* name, const eval::Ulira& u) {
  return fmt::format("\n  {:<28} {:>26} {:>26} {:>26}", name, cell(u.auc), cell(u.tpr_at_1_percent),
                     cell(u.accuracy));
}

std::string json_of(const char* name, const eval::Ulira& u) {
  const auto number = [](const char* of, const eval::Interval& i) {
    return fmt::format("\"{}\":{{\"value\":{:.8g},\"low\":{:.8g},\"high\":{:.8g}}}", of, i.value,
                       i.low, i.high);
  };
  return fmt::format(",\"{}\":{{{},{},{}}}", name, number("auc", u.auc),
                     number("tpr_at_1", u.tpr_at_1_percent), number("accuracy", u.accuracy));
}

}  // namespace

std::optional<UliraAnswer> ulira_answer(const ShadowPlan& plan, const Experiment& e,
                                        const Settings& eval) {
  if (!make_shadows(plan, e,
                    {.jobs = eval.integer("jobs"), .silent = eval.text("progress") == "none"}))
    return {};
  MarginsOfShadows margins = margins_of_shadows(plan, e);
  if (stop_requested()) return {};
  eval::ShadowMargins shadows{.shadows = std::ssize(plan.shadows),
                              .samples = std::ssize(e.forgotten),
                              .margins = std::move(margins.unlearned),
                              .forgotten = plan.forgotten};
  const eval::Ulira unlearned = eval::ulira(shadows);
  shadows.margins = std::move(margins.original);
  const eval::Ulira before = eval::ulira(shadows);
  const bool pooled = shadows.shadows < eval::kOwnVariance;
  return UliraAnswer{
      .text = fmt::format(
          "\n  U-LiRA: {} shadow networks, {} samples, {}\n  {:<28} {:>26} {:>26} {:>26}{}{}\n",
          shadows.shadows, shadows.samples,
          pooled ? "one variance for all" : "a variance of each sample's own",
          "forgotten or never seen?", "AUC (95 % interval)", "TPR at 1 % FPR", "accuracy",
          row("after unlearning", unlearned), row("before (the control)", before)),
      .json = fmt::format(",\"ulira\":{{\"shadows\":{},\"samples\":{},\"variance\":\"{}\"{}{}}}",
                          shadows.shadows, shadows.samples, pooled ? "pooled" : "own",
                          json_of("unlearned", unlearned), json_of("original", before))};
}

}  // namespace expunge::tools
