#include "eval/outputs.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/loader.h"
#include "eval/accuracy.h"
#include "support/error.h"
#include "tests/data/tiny_set.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

// A few roundings of double.
constexpr double kDouble = 1e-13;

nn::Model small_model(int64_t classes) {
  nn::Model model = nn::make_model("mlp", {4, 4, 3, classes});
  nn::initialise(model.params, nn::Init::pytorch, 5);
  return model;
}

data::LoaderConfig some_samples(int64_t batch_size) {
  return {.positions = {9, 3, 7, 20, 1, 2, 11}, .batch_size = batch_size};
}

}  // namespace

TEST_CASE("outputs: probabilities, losses and margins are those of the logits") {
  Outputs out{.classes = 3};
  out.add(std::vector<float>{1, -2, 0.5f}, 2, 40);
  out.add(std::vector<float>{0, 0, 0}, 0, 41);
  const double sum = std::exp(1.0) + std::exp(-2.0) + std::exp(0.5), p = std::exp(0.5) / sum;
  CHECK(out.p_of(0)[2] == doctest::Approx(p).epsilon(kDouble));
  CHECK(out.log_p_of(0)[1] == doctest::Approx(-2 - std::log(sum)).epsilon(kDouble));
  CHECK(out.losses[0] == doctest::Approx(-std::log(p)).epsilon(kDouble));
  CHECK(out.margins[0] == doctest::Approx(std::log(p / (1 - p))).epsilon(kDouble));
  CHECK(out.losses[1] == doctest::Approx(std::log(3.0)).epsilon(kDouble));
  CHECK(out.predicted(0) == 0);
  CHECK_FALSE(out.correct(0));
  CHECK(out.correct(1));
  CHECK(out.positions == std::vector<int32_t>{40, 41});
}

TEST_CASE("outputs: losses and margins stay exact where p rounds to 1 or 0") {
  Outputs out{.classes = 3};
  out.add(std::vector<float>{60, 0, 0}, 0, 0);
  out.add(std::vector<float>{60, 0, 0}, 1, 1);
  out.add(std::vector<float>{3e38f, -3e38f, 0}, 1, 2);
  CHECK(out.p_of(0)[0] == 1);
  CHECK(out.margins[0] == doctest::Approx(60 - std::log(2.0)).epsilon(kDouble));
  CHECK(out.losses[0] == doctest::Approx(2 * std::exp(-60.0)).epsilon(kDouble));
  CHECK(out.losses[1] == doctest::Approx(60.0).epsilon(kDouble));
  CHECK(out.losses[2] == doctest::Approx(2 * double{3e38f}).epsilon(kDouble));
}

TEST_CASE("outputs: a logit that is not finite is a numerical error that names the sample") {
  Outputs out{.classes = 2};
  const auto add = [&] { out.add(std::vector<float>{0, std::nanf("")}, 0, 77); };
  CHECK(error_code(add) == ExitCode::numerical);
  CHECK(contains(error_text(add), "position 77"));
  CHECK(out.empty());
}

TEST_CASE("outputs: one pass collects what accuracy measures, in the order of the source") {
  const data::Dataset set = tiny_set(50, 5, 3);
  const nn::Model model = small_model(3);
  data::Loader loader(set, some_samples(2)), whole(set, some_samples(7));
  const Outputs out = collect_outputs(model, loader);
  CHECK(out.positions == some_samples(2).positions);
  for (int64_t i = 0; i < out.samples(); ++i)
    CHECK(out.label(i) == set.labels[static_cast<size_t>(out.positions[static_cast<size_t>(i)])]);
  CHECK(collect_outputs(model, whole).logits == out.logits);

  const Accuracy measured = measure_accuracy(model, loader), derived = accuracy_of(out);
  CHECK(derived.confusion == measured.confusion);
  CHECK(derived.correct == measured.correct);
  CHECK(derived.samples == 7);
  CHECK(derived.loss() == doctest::Approx(measured.loss()).epsilon(1e-6));  // measured in float
}

TEST_CASE("outputs: collecting stops after the batch at which it is told to") {
  const data::Dataset set = tiny_set(50, 5, 3);
  data::Loader loader(set, some_samples(2));
  int asked = 0;
  const Outputs out = collect_outputs(small_model(3), loader, [&] { return ++asked < 2; });
  CHECK(out.samples() == 4);
}

TEST_CASE("outputs: samples can be restricted to the labels of other samples") {
  const Outputs all = random_outputs(40, 4, 1, 1);
  Outputs like{.classes = 4};
  like.add(std::vector<float>{0, 0, 0, 0}, 2, 0);
  like.add(std::vector<float>{0, 0, 0, 0}, 0, 0);
  const Outputs some = with_labels_of(all, like);
  CHECK(some.samples() ==
        std::count_if(all.labels.begin(), all.labels.end(), [](int l) { return l % 2 == 0; }));
  for (int64_t i = 0; i < some.samples(); ++i) {
    CHECK(some.label(i) % 2 == 0);
    CHECK(some.losses[static_cast<size_t>(i)] ==
          all.losses[static_cast<size_t>(some.positions[static_cast<size_t>(i)])]);
  }
}
