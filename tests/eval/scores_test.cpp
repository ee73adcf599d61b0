#include "eval/scores.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <set>

#include "support/error.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

Parts some_parts() {
  return {.forget = random_outputs(40, 4, 3, 1),
          .retain = random_outputs(120, 4, 6, 2),
          .val = random_outputs(30, 4, 4, 3),
          .test = random_outputs(80, 4, 4, 4)};
}

double value(const Scores& s, const char* name) {
  return metric(name).get(s);
}

}  // namespace

TEST_CASE("scores: accuracies, losses and attacks are those of the parts") {
  const Parts parts = some_parts();
  const Scores s = score(parts, {.modified_entropy = ModifiedEntropy::optml});
  int64_t correct = 0;
  double loss = 0;
  for (int64_t i = 0; i < 40; ++i) {
    correct += parts.forget.correct(i);
    loss += parts.forget.losses[static_cast<size_t>(i)];
  }
  CHECK(value(s, "forget_acc") == static_cast<double>(correct) / 40);
  CHECK(value(s, "UA") == 1 - value(s, "forget_acc"));
  CHECK(value(s, "forget_loss") == doctest::Approx(loss / 40).epsilon(1e-12));
  CHECK(s.val.samples == 30);
  CHECK(s.unseen == 80);

  const auto svc = [&](Feature f, ModifiedEntropy version) {
    return svc_attack(features(parts.retain, f, version), features(parts.test, f, version),
                      features(parts.forget, f, version));
  };
  CHECK(value(s, "svc_entropy") == svc(Feature::entropy, ModifiedEntropy::correct).member_share);
  CHECK(value(s, "svc_modified_entropy_training") ==
        svc(Feature::modified_entropy, ModifiedEntropy::optml).training_accuracy);
  CHECK(value(s, "loss_attack") ==
        loss_attack(parts.forget.losses, parts.test.losses, {}).accuracy);
  std::vector<double> forget, test;
  for (const double l : parts.forget.losses) forget.push_back(-l);
  for (const double l : parts.test.losses) test.push_back(-l);
  CHECK(value(s, "confidence_auc") == threshold_attack(forget, test).auc);
  CHECK(value(s, "confidence_tpr_at_0.1") == threshold_attack(forget, test).tpr_at_0_1_percent);
}

TEST_CASE("scores: loss and threshold attacks see the test samples of the forgotten classes only") {
  Parts parts = some_parts();
  Outputs one_class{.classes = 4};
  for (int64_t i = 0; i < 40; ++i)
    if (parts.forget.label(i) == 2)
      one_class.add(parts.forget.logits_of(i), 2, static_cast<int32_t>(i));
  parts.forget = one_class;
  const Outputs unseen = with_labels_of(parts.test, one_class);
  const Scores s = score(parts, {.svc = false});
  CHECK(s.unseen == unseen.samples());
  CHECK(s.unseen < 80);
  CHECK(s.loss_attack.accuracy == loss_attack(one_class.losses, unseen.losses, {}).accuracy);
  CHECK(std::isnan(value(s, "svc_confidence")));
}

TEST_CASE("scores: what has no samples, or was switched off or stopped, is not measured") {
  Parts parts = some_parts();
  parts.val = Outputs{.classes = 4};
  const Scores off = score(parts, {.svc = false, .loss = false, .threshold = false});
  CHECK(std::isnan(value(off, "val_acc")));
  CHECK(std::isnan(value(off, "svc_entropy")));
  CHECK(std::isnan(value(off, "loss_attack")));
  CHECK(std::isnan(value(off, "entropy_auc")));
  CHECK_FALSE(std::isnan(value(off, "retain_loss")));
  std::atomic<int> asked = 0;
  const auto stop_after = [&](int times) {
    asked = 0;
    return score(parts, {}, [&asked, times] { return ++asked <= times; });
  };
  CHECK(std::isnan(value(stop_after(0), "loss_attack")));
  const Scores stopped = stop_after(2);  // one fit is done, and of no use
  CHECK_FALSE(std::isnan(value(stopped, "loss_attack")));
  CHECK(std::isnan(value(stopped, "svc_correctness")));
  CHECK(std::isnan(value(stopped, "svc_confidence")));
  CHECK_FALSE(std::isnan(value(stop_after(100), "svc_confidence")));
  parts.forget = Outputs{.classes = 4};
  CHECK(std::isnan(value(score(parts, {}), "loss_attack")));
}

TEST_CASE("scores: the table's names differ, and each gets a number of its own") {
  std::set<std::string> names;
  std::multiset<double> values;
  const Scores s = score(some_parts(), {});
  for (const Metric& m : metrics()) {
    CHECK(names.insert(m.name).second);
    CHECK_FALSE(std::isnan(m.get(s)));
    CHECK_FALSE(m.words.empty());
    CHECK_FALSE(m.ideal.empty());
  }
  CHECK(metrics().size() == 30);
  CHECK(error_code([] { metric("accuracy"); }) == ExitCode::internal);
}
