#include <doctest/doctest.h>

#include <cmath>

#include "core/safetensors.h"
#include "eval/loss_attack.h"
#include "eval/svc_attack.h"

// What numpy and scikit-learn compute from the same logits: tools/golden_attacks.py.
using namespace expunge;
using namespace expunge::eval;

namespace {

constexpr int64_t kRetain = 800, kTest = 800, kForget = 400;

SafeTensors golden() {
  return read_safetensors(std::filesystem::path(EXPUNGE_GOLDEN) / "attacks.safetensors");
}

std::span<const float> at(const SafeTensors& file, const std::string& name) {
  const NamedTensor* t = file.find(name);
  REQUIRE_MESSAGE(t != nullptr, name);
  return t->values.span();
}

Outputs outputs_of(const SafeTensors& file) {
  const auto logits = at(file, "logits"), labels = at(file, "labels");
  Outputs out{.classes = std::ssize(logits) / std::ssize(labels)};
  for (size_t i = 0; i < labels.size(); ++i)
    out.add(logits.subspan(i * static_cast<size_t>(out.classes), static_cast<size_t>(out.classes)),
            static_cast<int32_t>(labels[i]), static_cast<int32_t>(i));
  return out;
}

struct Case {
  const char* name;
  Feature feature;
  ModifiedEntropy version = ModifiedEntropy::correct;
};
const Case kCases[] = {
    {"correctness", Feature::correctness},
    {"confidence", Feature::confidence},
    {"entropy", Feature::entropy},
    {"modified_entropy", Feature::modified_entropy, ModifiedEntropy::correct},
    {"modified_entropy_ufv", Feature::modified_entropy, ModifiedEntropy::ufv},
    {"modified_entropy_optml", Feature::modified_entropy, ModifiedEntropy::optml},
    {"probabilities", Feature::probabilities},
};

Features rows(const Features& x, int64_t begin, int64_t count) {
  const auto w = x.width;
  return {w, {x.values.begin() + begin * w, x.values.begin() + (begin + count) * w}};
}

}  // namespace

TEST_CASE("features agree with numpy") {
  const SafeTensors file = golden();
  const Outputs outputs = outputs_of(file);
  // The file is float; numpy's log(1 - p) cancels to about 1e-16 / (1 - p), weighted with 1 - p.
  constexpr double kFloat = 1e-7;
  for (const Case& c : kCases) {
    if (c.feature == Feature::probabilities) continue;
    const Features x = features(outputs, c.feature, c.version);
    const auto theirs = at(file, c.name);
    CHECK(x.samples() == std::ssize(theirs));
    double worst = 0;
    for (size_t i = 0; i < theirs.size(); ++i)
      worst = std::max(worst, std::abs(x.values[i] - double{theirs[i]}) /
                                  std::max(1.0, std::abs(double{theirs[i]})));
    CHECK_MESSAGE(worst < kFloat, c.name);
  }
}

TEST_CASE("svc: calls members as scikit-learn's SVC does, on every feature") {
  const SafeTensors file = golden();
  const Outputs outputs = outputs_of(file);
  int64_t agree = 0, all = 0;
  double worst = 0;
  for (const Case& c : kCases) {
    const Features x = features(outputs, c.feature, c.version);
    REQUIRE(x.samples() == kRetain + kTest + kForget);
    const Features retain = rows(x, 0, kRetain), test = rows(x, kRetain, kTest),
                   forget = rows(x, kRetain + kTest, kForget);
    const std::vector<double> ours = SvcClassifier(retain, test).decisions(x);
    const auto theirs = at(file, std::string("svc/") + c.name);
    int64_t same = 0, members = 0;
    for (size_t i = 0; i < ours.size(); ++i) {
      same += (ours[i] >= 0) == (theirs[i] >= 0);
      members += i >= static_cast<size_t>(kRetain + kTest) && theirs[i] >= 0;
      worst = std::max(worst, std::abs(ours[i] - double{theirs[i]}));
    }
    CHECK_MESSAGE(same >= 0.999 * static_cast<double>(ours.size()), c.name);
    CHECK(svc_attack(retain, test, forget).member_share ==
          doctest::Approx(static_cast<double>(members) / kForget).epsilon(0.002));
    agree += same;
    all += std::ssize(ours);
  }
  MESSAGE(agree << " of " << all << " calls agree; decisions differ by at most " << worst);
  CHECK(worst < 2e-3);  // both stop at a tolerance of 1e-3
}

TEST_CASE("logistic: slope and intercept are scikit-learn's") {
  const SafeTensors file = golden();
  const Outputs outputs = outputs_of(file);
  const std::span losses(outputs.losses);
  const Logistic fit = fit_logistic(losses.subspan(0, kRetain), losses.subspan(kRetain, kTest));
  CHECK(fit.slope == doctest::Approx(double{at(file, "logistic")[0]}).epsilon(1e-6));
  CHECK(fit.intercept == doctest::Approx(double{at(file, "logistic")[1]}).epsilon(1e-6));
}
