#include "tools/run_numbers.h"

#include <algorithm>
#include <cmath>

namespace expunge::tools {
namespace {

double percent(double x) {
  return 100 * x;
}
double same(double x) {
  return x;
}
double mebibytes(double x) {
  return x / (1 << 20);
}

double measure_of(const ComparedRun& run, const char* name) {
  const auto it = run.status.measures.find(name);
  return it == run.status.measures.end() ? eval::kNotMeasured : it->second;
}

template <class Get>
auto against(Get get) {
  return [get](const ComparedRun& run) {
    return run.comparison ? get(*run.comparison) : eval::kNotMeasured;
  };
}

void add_distances(std::vector<RunNumber>& table) {
  using eval::Comparison;
  table.push_back({"rUA", "forget accuracy minus the retrained models'", percent, 2,
                   against([](const Comparison& c) { return c.rUA; })});
  table.push_back({"FID", "forget samples classified as by a retrained model", percent, 2,
                   against([](const Comparison& c) { return c.forget.agreement; })});
  table.push_back({"KL", "KL(retrained || model) on the forget samples, nats", same, 4,
                   against([](const Comparison& c) { return c.forget.kl; })});
  table.push_back({"JS", "Jensen-Shannon divergence there, nats", same, 4,
                   against([](const Comparison& c) { return c.forget.js; })});
  table.push_back({"L2", "distance of the probabilities there", same, 4,
                   against([](const Comparison& c) { return c.forget.l2; })});
  table.push_back({"average_gap", "mean of |UA|, |RA|, |TA|, |MIA| gaps, percent", same, 2,
                   against([](const Comparison& c) { return c.average_gap; })});
}

const eval::Gap& gap_of(const eval::Comparison& c, const char* metric) {
  return *std::ranges::find_if(c.gaps,
                               [&](const eval::Gap& g) { return g.metric->name == metric; });
}

// How far from the retrained runs, whatever the side.
void add_absolute_gaps(std::vector<RunNumber>& table) {
  constexpr struct {
    const char *name, *metric, *words;
  } kGaps[] = {{"forget_gap", "forget_acc", "|forget accuracy - the retrained models'|"},
               {"auc_gap", "confidence_auc", "|AUC by confidence - the retrained models'|"},
               {"entropy_auc_gap", "entropy_auc", "|AUC by entropy - the retrained models'|"},
               {"loss_attack_gap", "loss_attack", "|loss attack - the retrained models'|"}};
  for (const auto& row : kGaps)
    table.push_back({row.name, row.words, percent, 2,
                     against([metric = row.metric](const eval::Comparison& c) {
                       return std::abs(gap_of(c, metric).gap);
                     }),
                     row.metric});
}

void add_at_target(std::vector<RunNumber>& table) {
  const auto at_target = [](auto get) {
    return [get](const ComparedRun& run) {
      return run.at_target ? get(*run.at_target) : eval::kNotMeasured;
    };
  };
  table.push_back({"matched_step", "first step with the retrained models' forget accuracy", same, 0,
                   at_target([](const Waypoint& w) { return static_cast<double>(w.step); })});
  table.push_back({"matched_retain_acc", "accuracy on R there", percent, 2,
                   at_target([](const Waypoint& w) { return w.retain_acc; })});
  table.push_back({"matched_test_acc", "accuracy on T there", percent, 2,
                   at_target([](const Waypoint& w) { return w.test_acc; })});
  table.push_back({"matched_auc", "AUC by loss there", percent, 2,
                   at_target([](const Waypoint& w) { return w.auc; })});
  table.push_back({"matched_auc_gap", "|AUC by loss there - the retrained models'|", percent, 2,
                   [](const ComparedRun& run) {
                     if (!run.at_target || !run.comparison) return eval::kNotMeasured;
                     const eval::Gap& gap = gap_of(*run.comparison, "confidence_auc");
                     return std::abs(run.at_target->auc - gap.reference.mean);
                   }});
}

void add_attack_success(std::vector<RunNumber>& table) {
  table.push_back({"attack_success", "test samples with the trigger taken for its target", percent,
                   2, [](const ComparedRun& run) { return run.attack_success; }});
}

// Only a sweep has them: it takes one run an answer from eval, which trains the shadows.
void add_ulira(std::vector<RunNumber>& table) {
  constexpr struct {
    const char *name, *words;
  } kNumbers[] = {{"ulira_auc", "AUC of U-LiRA, forgotten or never seen (recipes with shadows)"},
                  {"ulira_auc_low", "lower end of its 95 % interval"},
                  {"ulira_auc_high", "upper end"},
                  {"ulira_tpr_at_1", "U-LiRA: forgotten samples found at 1 % false alarms"},
                  {"ulira_accuracy", "U-LiRA: share of right answers"},
                  {"ulira_auc_before", "AUC of U-LiRA before unlearning, the control"}};
  for (const auto& row : kNumbers)
    table.push_back(
        {row.name, row.words, percent, 2, [](const ComparedRun&) { return eval::kNotMeasured; }});
}

void add_costs(std::vector<RunNumber>& table) {
  table.push_back({"RTE", "seconds of work, evaluation left out", same, 1,
                   [](const ComparedRun& run) { return run.status.work_seconds; }});
  table.push_back({"steps", "optimizer steps", same, 0,
                   [](const ComparedRun& run) { return static_cast<double>(run.status.steps); }});
  table.push_back({"passes", "forward and backward passes over a batch", same, 0,
                   [](const ComparedRun& run) { return measure_of(run, "passes"); }});
  table.push_back({"peak_bytes", "largest memory of tensors", mebibytes, 0,
                   [](const ComparedRun& run) { return measure_of(run, "peak_bytes"); }});
}

}  // namespace

const std::vector<RunNumber>& run_numbers() {
  static const std::vector<RunNumber> table = [] {
    std::vector<RunNumber> t;
    for (const eval::Metric& m : eval::metrics()) {
      const bool share = m.unit == eval::Unit::share;
      t.push_back({m.name, m.words, share ? percent : same, share ? 2 : 4,
                   [&m](const ComparedRun& run) { return m.get(run.measured.scores); }});
    }
    add_distances(t);
    add_absolute_gaps(t);
    add_at_target(t);
    add_attack_success(t);
    add_ulira(t);
    add_costs(t);
    return t;
  }();
  return table;
}

const RunNumber& run_number(const std::string& name) {
  return *std::ranges::find_if(run_numbers(), [&](const RunNumber& n) { return n.name == name; });
}

}  // namespace expunge::tools
