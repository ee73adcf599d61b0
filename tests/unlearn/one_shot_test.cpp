#include "unlearn/one_shot.h"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/small_models.h"
#include "support/error.h"
#include "support/image_batches.h"
#include "support/tiny_models.h"
#include "unlearn/pass.h"

// The steps of ssd, fisher and influence against their formulas, in double.
namespace expunge::unlearn {
namespace {

using test::Images, test::kClasses, test::kSamples, test::tiny;
using Vector = std::vector<double>;

nn::Model logistic() {
  nn::Model model = nn::build<nn::LinearModel>(
      "linear", {.height = 8, .width = 8, .channels = 3, .classes = kClasses});
  nn::initialise(model.params, nn::Init::pytorch, 4);
  return model;
}

// The images of `images`, one by one.
class Singles final : public BatchSource {
 public:
  explicit Singles(Images images) : images_(images) {}
  int64_t samples() const override { return images_.samples(); }
  int64_t batches() const override { return images_.samples(); }
  void start(int, int64_t batch) override { next_ = batch; }
  bool next(Batch& batch) override {
    if (next_ == batches()) return false;
    const Batch whole = images_.at(0, next_ / kSamples);
    const int64_t at = next_++ % kSamples;
    batch.x = whole.x.slice(at * 192, {1, 8, 8, 3});
    batch.labels = whole.labels.slice(at, {1});
    return true;
  }

 private:
  Images images_;
  int64_t next_ = 0;
};

// Gradient of the mean cross-entropy in evaluation mode, by a tape of its own.
Vector gradient(const nn::Model& model, const Batch& batch) {
  ParamStore values = model.params.clone();
  const Tensor grads = values.make_buffer();
  Tape tape;
  tape.bind(values, {grads, 0.0f});
  loss_of({*model.network, values, objective("ce"), BatchNormMode::eval, nullptr, Mode::eval},
          batch, {}, &tape);
  return {grads.span().begin(), grads.span().end()};
}

Vector values_of(const nn::Model& model) {
  const auto span = model.params.values().span();
  return {span.begin(), span.end()};
}

template <class Visit>
void each_batch(BatchSource& source, Visit visit) {
  Batch batch;
  for (source.start(0); source.next(batch);) visit(batch);
}

// The mean square of the gradients of a source's batches.
Vector mean_squares(const nn::Model& model, BatchSource& source) {
  Vector sum(static_cast<size_t>(model.params.values().size()));
  each_batch(source, [&](const Batch& batch) {
    const Vector g = gradient(model, batch);
    for (size_t i = 0; i < g.size(); ++i)
      sum[i] += g[i] * g[i] / static_cast<double>(source.batches());
  });
  return sum;
}

// Every step of its epoch, the last left out where `all` is false.
void go_through(OneShot& step, LegSource& source, bool all = true, int64_t from = 0) {
  Batch batch;
  source.start(0, from);
  for (int64_t i = from; i < source.batches() - (all ? 0 : 1); ++i) {
    REQUIRE(source.next(batch));
    REQUIRE(std::isfinite(step.run(batch, {.seed = 7, .step = i}).loss));
  }
}

struct Run {
  nn::Model model;
  std::vector<Leg> legs;
  LegSource source{legs};
  std::unique_ptr<OneShot> step;
  Run(nn::Model m, const char* text, std::vector<Leg> over)
      : model(std::move(m)),
        legs(std::move(over)),
        step(make_one_shot(method(text), OneShotSpec::parse(text), model, legs)) {}
};

double abs_of(double x) {
  return std::abs(x);
}

void check_close(const Vector& found, const Vector& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i)
    worst = std::max(worst, std::abs(found[i] - expected[i]));
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("legs: every batch of every round, from any place") {
  Images a(0, 2), b(50, 3);
  LegSource source({{a, 1}, {b, 2}});
  CHECK(source.batches() == 8);
  CHECK(source.samples() == 8 * kSamples);
  std::vector<int32_t> labels;
  each_batch(source, [&](const Batch& batch) { labels.push_back(batch.index.as<int32_t>()[0]); });
  CHECK(labels.size() == 8);
  CHECK(labels[2] == labels[5]);
  for (int64_t from = 0; from <= 8; ++from) {
    Batch batch;
    source.start(0, from);
    size_t at = static_cast<size_t>(from);
    while (source.next(batch)) CHECK(batch.index.as<int32_t>()[0] == labels[at++]);
    CHECK(at == 8);
  }
}

TEST_CASE("ssd: selection and dampening, elementwise, from squares of batch gradients") {
  Images forget(1000, 2), all(5000, 5);
  Run run(tiny(), "ssd:1.5,dampen=0.8", {{forget}, {all}});
  const Vector before = values_of(run.model), f = mean_squares(run.model, forget),
               d = mean_squares(run.model, all);
  go_through(*run.step, run.source, false);
  CHECK(values_of(run.model) == before);  // until the last step
  go_through(*run.step, run.source, true, run.source.batches() - 1);
  Vector expected = before;
  double selected = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!(f[i] > 1.5 * d[i])) continue;
    ++selected;
    expected[i] *= std::min(1.0, 0.8 * d[i] / f[i]);
  }
  CHECK(selected > 20);
  CHECK(selected < 0.9 * static_cast<double>(run.model.parameter_count()));
  check_close(values_of(run.model), expected, 1e-6);
  REQUIRE(run.step->facts().size() == 1);
  CHECK(run.step->facts()[0].value == selected);
}

TEST_CASE("ssd: a factor is never above one, and nothing is selected where F matters as little") {
  Images forget(1000, 2);
  Run same(tiny(), "ssd:1", {{forget}, {forget}});
  const Vector before = values_of(same.model);
  go_through(*same.step, same.source);
  CHECK(values_of(same.model) == before);  // I_F > I_D nowhere
  Images all(5000, 5);
  Run large(tiny(), "ssd:1.5,dampen=1000", {{forget}, {all}});
  go_through(*large.step, large.source);
  CHECK(large.step->facts()[0].value > 0);
  const Vector after = values_of(large.model);
  for (size_t i = 0; i < before.size(); ++i) CHECK(std::abs(after[i]) <= std::abs(before[i]));
}

TEST_CASE("fisher: information of batches, weighted by their mean probabilities") {
  Images retain(5000, 3);
  Run run(tiny(), "fisher:1e-3", {{retain}});
  CHECK(run.step->passes() == kClasses);
  Vector expected(static_cast<size_t>(run.model.params.values().size()));
  each_batch(retain, [&](const Batch& batch) {
    const Tensor z =
        run.model.network->forward({.params = &run.model.params}, {batch.x, Var::kNone}).value;
    for (int64_t y = 0; y < kClasses; ++y) {
      double p = 0;
      for (int64_t n = 0; n < kSamples; ++n) {
        double sum = 0;
        for (int64_t c = 0; c < kClasses; ++c) sum += std::exp(double{z.data()[n * kClasses + c]});
        p += std::exp(double{z.data()[n * kClasses + y]}) / sum / kSamples;
      }
      Batch as_y = batch;
      as_y.labels = Tensor({kSamples}, DType::i32);
      std::fill_n(as_y.labels.as<int32_t>(), kSamples, static_cast<int32_t>(y));
      const Vector g = gradient(run.model, as_y);
      for (size_t i = 0; i < g.size(); ++i) expected[i] += p * g[i] * g[i] / 3;
    }
  });
  go_through(*run.step, run.source, false);
  const Vector before = values_of(tiny());
  CHECK(values_of(run.model) == before);
  Batch last;
  run.source.start(0, run.source.batches() - 1);
  REQUIRE(run.source.next(last));
  run.step->run(last, {.seed = 7, .step = run.source.batches() - 1});
  const std::vector<NamedBuffer> state = run.step->state();
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(std::abs(double{state[0].buffer.data()[i]} + double{state[1].buffer.data()[i]} -
                   expected[i]) <= 1e-6 * expected[i]);
  CHECK(values_of(run.model) != before);
}

TEST_CASE("influence: the inverse of a Fisher matrix, against a dense solution") {
  Images forget(1000, 2), retain(5000, 4);
  Singles singles{Images(5000, 3)};
  Run run(logistic(), "influence:20,damping=0.5,iterations=40",
          {{forget}, {retain}, {singles, 40}});
  const Vector before = values_of(run.model);
  const auto P = static_cast<Eigen::Index>(before.size());
  Eigen::VectorXd v = Eigen::VectorXd::Zero(P);
  const double n_f = 12, n_r = 24, n = n_f + n_r;
  const auto vector = [&](const Batch& batch) {
    const Vector g = gradient(run.model, batch);
    return Eigen::VectorXd(Eigen::Map<const Eigen::VectorXd>(g.data(), P));
  };
  each_batch(forget, [&](const Batch& b) { v += kSamples / n * vector(b); });
  each_batch(retain, [&](const Batch& b) { v -= kSamples * n_f / (n * n_r) * vector(b); });
  Eigen::MatrixXd h = 0.5 * Eigen::MatrixXd::Identity(P, P);
  each_batch(singles, [&](const Batch& b) {
    const Eigen::VectorXd g = vector(b);
    h += g * g.transpose() / static_cast<double>(singles.samples());
  });
  const Eigen::VectorXd x = h.ldlt().solve(v);
  go_through(*run.step, run.source);
  const Vector after = values_of(run.model);
  double worst = 0;
  for (Eigen::Index i = 0; i < P; ++i) {
    const auto at = static_cast<size_t>(i);
    worst = std::max(worst, std::abs(after[at] - before[at] - 20 * x[i]));
  }
  CHECK((h * v - 0.5 * v).norm() > 0.5 * v.norm());  // far from a multiple of the identity
  CHECK(worst < 1e-5 * 20 * x.lpNorm<Eigen::Infinity>());
  CHECK(run.step->facts()[0].value == 40);
  CHECK(run.step->facts()[1].value < 1e-5);  // the residual
}

TEST_CASE("influence: the published recursion, step by step, stays v plus a multiple of g_1") {
  Images forget(1000, 2), retain(5000, 4);
  Singles singles{Images(5000, 3)};
  Run run(logistic(), "influence:2,samples=16,form=optml", {{forget}, {retain}, {singles}});
  const Vector before = values_of(run.model);
  const double n_f = 12, n_r = 24, n = n_f + n_r;
  Vector k(before.size());
  each_batch(forget, [&](const Batch& b) {
    const Vector g = gradient(run.model, b);
    for (size_t i = 0; i < k.size(); ++i) k[i] += kSamples / n * g[i];
  });
  each_batch(retain, [&](const Batch& b) {
    const Vector g = gradient(run.model, b);
    for (size_t i = 0; i < k.size(); ++i) k[i] -= kSamples * n_f / (n * n_r) * g[i];
  });
  const Vector v = k;
  Vector o, first;
  each_batch(singles, [&](const Batch& b) {
    const Vector s = gradient(run.model, b);
    if (o.empty()) return void(first = o = s);
    double os = 0, ks = 0;
    for (size_t i = 0; i < k.size(); ++i) os += o[i] * s[i], ks += k[i] * s[i];
    for (size_t i = 0; i < k.size(); ++i) k[i] -= ks / (16 + os) * o[i];
    for (size_t i = 0; i < k.size(); ++i) o[i] -= os / (16 + os) * o[i];
  });
  go_through(*run.step, run.source);
  const Vector after = values_of(run.model);
  Vector moved(k.size());
  for (size_t i = 0; i < k.size(); ++i) moved[i] = (after[i] - before[i]) / 2;
  // k is computed in floats here, a rounding each of 16 samples
  check_close(moved, k, 16 * 6e-8 * std::abs(*std::ranges::max_element(k, {}, abs_of)));
  double along = 0, square = 0;
  for (size_t i = 0; i < k.size(); ++i)
    along += (k[i] - v[i]) * first[i], square += first[i] * first[i];
  CHECK(std::abs(along / square) > 1e-3);
  for (size_t i = 0; i < k.size(); ++i)
    CHECK(std::abs(k[i] - v[i] - along / square * first[i]) < 1e-12);
}

TEST_CASE("one shot: a run that goes on from its state has the same bits") {
  Images forget(1000, 2), retain(5000, 3);
  Singles singles{Images(5000, 1)};
  for (const char* text :
       {"ssd:1.5", "fisher", "influence:1,iterations=3", "influence:1,form=optml"}) {
    std::vector<Leg> legs;
    if (text[0] != 'f') legs.push_back({forget});
    legs.push_back({retain});
    if (text[0] == 'i') legs.push_back({singles, std::strstr(text, "form") ? 1 : 3});
    Run whole(tiny(), text, legs);
    go_through(*whole.step, whole.source);
    for (int64_t stop = 0; stop < whole.source.batches(); ++stop) {
      Run first(tiny(), text, legs), second(tiny(), text, legs);
      Batch batch;
      first.source.start(0);
      for (int64_t i = 0; i < stop; ++i) {
        first.source.next(batch);
        first.step->run(batch, {.seed = 7, .step = i});
      }
      const auto from = first.step->state(), to = second.step->state();
      for (size_t i = 0; i < from.size(); ++i) {
        CHECK(from[i].name == to[i].name);
        std::ranges::copy(from[i].buffer.span(), to[i].buffer.data());
      }
      go_through(*second.step, second.source, true, stop);
      CHECK_MESSAGE(values_of(second.model) == values_of(whole.model), text, " from step ", stop);
    }
  }
}

TEST_CASE("one shot: parameters of methods have bounds and names") {
  CHECK(OneShotSpec::parse("ssd").ssd.select == 10);
  CHECK(OneShotSpec::parse("ssd:2.5,dampen=0.5").ssd.dampen == 0.5);
  CHECK(OneShotSpec::parse("influence,samples=50").influence.samples == 50);
  CHECK(OneShotSpec::parse("influence:1,form=optml").influence.optml);
  struct Bad {
    const char *text, *why;
  };
  for (const Bad& bad :
       std::initializer_list<Bad>{{"ssd:x", "its value is 'x', expected a number"},
                                  {"ssd:-1", "expected a number from 0"},
                                  {"ssd:", "a value is missing behind :"},
                                  {"ssd,dampn=1", "no parameter dampn; did you mean 'dampen'"},
                                  {"ssd,dampen=", "a value is missing behind dampen"},
                                  {"ssd,dampen=1,dampen=2", "no parameter dampen"},
                                  {"ssd:nan", "expected a number from 0"},
                                  {"fisher:1,dampen=1", "fisher has no parameter dampen"},
                                  {"influence,form=other", "expected correct or optml"},
                                  {"influence,samples=0", "expected a number from 1"},
                                  {"influence,samples=1.5", "expected a number from 1"},
                                  {"influence,form=optml,damping=2", "no parameter damping"},
                                  {"ngplus:3", "ngplus has no value"},
                                  {"ngplus,a=3", "ngplus has no parameter a"}}) {
    CHECK(test::error_code([&] { OneShotSpec::parse(bad.text); }) == ExitCode::usage);
    const std::string text = test::error_text([&] { OneShotSpec::parse(bad.text); });
    CHECK_MESSAGE(test::contains(text, bad.why), text);
  }
}

}  // namespace expunge::unlearn
