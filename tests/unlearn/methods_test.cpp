#include "unlearn/methods.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/layers.h"
#include "nn/ops.h"
#include "support/error.h"
#include "support/image_batches.h"
#include "support/tiny_models.h"
#include "unlearn/in_turn.h"
#include "unlearn/shadow_class.h"

// What defines the field's methods, apart from the numbers of their steps (golden_methods_test).
namespace expunge::unlearn {
namespace {

using test::Images, test::kSamples, test::kClasses, test::tiny;

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

// A batch of whole-number pixels, normalised by the config's mean and std.
Batch of_pixels(const TeacherConfig& config) {
  Batch batch = Images(1, 1).at(0, 0);
  for (int64_t i = 0; i < batch.x.size(); ++i) {
    const auto c = static_cast<size_t>(i % 3);
    const float pixel = std::clamp(std::round(128 + 80 * batch.x.data()[i]), 0.0f, 255.0f);
    batch.x.data()[i] = (pixel / 255 - config.mean[c]) / config.std[c];
  }
  return batch;
}

double cross_entropy(const nn::Model& model, const Tensor& x, const Tensor& labels) {
  const Ctx ctx{.params = &model.params};
  const Var logits = model.network->forward(ctx, {x, Var::kNone});
  return double{nn::cross_entropy(ctx, logits, labels).value.data()[0]};
}

constexpr nn::OptimConfig kSgd{.kind = nn::OptimKind::sgd, .momentum = 0.9f, .weight_decay = 0};
constexpr float kLr = 1e-3f;

}  // namespace

TEST_CASE("methods: every row names objectives, a preset and a summary that exist") {
  for (const Method& m : methods()) {
    CAPTURE(m.name);
    for (const char* name : {m.forget, m.retain, m.mixed})
      if (name != nullptr) CHECK((objective(name).loss != nullptr));
    const Preset& own = preset(m.preset);
    CHECK((own.order != Order::mixed || m.mixed != nullptr));
    CHECK(std::strlen(m.summary) > 10);
  }
  for (const Compat& c : compats())
    if (std::string_view(c.method) != "") CHECK(method(c.method).name == std::string(c.method));
  CHECK(test::error_code([] { compat("rumm"); }) == ExitCode::usage);
}

TEST_CASE("ft-l1: the penalty falls in a line to 0 and stays there") {
  const ObjectiveNumbers numbers{.alpha = 1e-4, .penalty_epochs = 4};
  const double expected[] = {1e-4, 0.75e-4, 0.5e-4, 0.25e-4, 0, 0};
  for (int epoch = 0; epoch < 6; ++epoch)
    CHECK(penalty_weight(numbers, epoch) == doctest::Approx(expected[epoch]));
  CHECK(penalty_weight({.alpha = 1, .penalty_epochs = 0}, 0) == 0);
}

TEST_CASE("ft-l1: the penalty's gradient is there before a parameter is updated in backward") {
  Tensor values[2];
  for (const bool inside : {false, true}) {
    nn::Model model = tiny();
    nn::Optimizer optimizer(model.params, kSgd);
    Images forget(1000, 2), retain(5000, 3);
    StepConfig config;
    config.retain = &objective("ce-l1");
    config.beta = 1;
    config.gate = GateSpec::parse("prob:0.4");  // F is a probe, joined to every retain batch
    config.leads = Leads::retain;
    config.batches_per_epoch = 3;
    config.numbers = {.alpha = 0.01, .penalty_epochs = 2};
    config.in_backward = inside;
    UnlearnStep step(model, optimizer, forget, config);
    CHECK(step.passes() == 2);
    for (int64_t k = 0; k < 5; ++k)
      step.run(retain.at(static_cast<int>(k / 3), k % 3),
               {.seed = 9, .step = k, .epoch = static_cast<int32_t>(k / 3), .lr = kLr});
    values[inside] = model.params.values();
  }
  CHECK(same_bits(values[0], values[1]));
}

TEST_CASE("step: whichever side leads, the same two batches make the same step") {
  Tensor values[2];
  for (const Leads leads : {Leads::forget, Leads::retain}) {
    nn::Model model = tiny();
    nn::Optimizer optimizer(model.params, kSgd);
    Images forget(1000, 1), retain(5000, 1);
    StepConfig config;
    config.forget = &objective("ascent");
    config.retain = &objective("ce");
    config.gate = GateSpec::parse("opt");
    config.leads = leads;
    const bool forget_leads = leads == Leads::forget;
    UnlearnStep step(model, optimizer, forget_leads ? retain : forget, config);
    step.run((forget_leads ? forget : retain).at(0, 0), {.seed = 9, .lr = kLr});
    values[forget_leads] = model.params.values();
  }
  CHECK(same_bits(values[0], values[1]));
}

TEST_CASE("scrub: after its first epochs an epoch is retain batches alone") {
  Images forget(1000, 2), retain(5000, 3);
  InTurnSource source(forget, retain, 2);
  std::vector<int64_t> lengths, firsts;
  for (int epoch = 0; epoch < 4; ++epoch) {
    lengths.push_back(source.batches_in(epoch));
    firsts.push_back(source.first_step_of(epoch));
    int64_t count = 0;
    Batch batch;
    for (source.start(epoch); source.next(batch); ++count) {
      const Images& side = count < source.forget_batches_in(epoch) ? forget : retain;
      const int64_t place = count - (&side == &retain ? source.forget_batches_in(epoch) : 0);
      CHECK(same_bits(batch.x, side.at(epoch, place).x));
      if (count == 0) continue;
      InTurnSource again(forget, retain, 2);  // a run that goes on in the middle of the epoch
      Batch same;
      again.start(epoch, count);
      CHECK((again.next(same) && same_bits(batch.x, same.x)));
      source.start(epoch, count + 1);
    }
    CHECK(count == source.batches_in(epoch));
  }
  CHECK(lengths == std::vector<int64_t>{5, 5, 3, 3});
  CHECK(firsts == std::vector<int64_t>{0, 5, 10, 13});
  CHECK(source.batches() == 5);
  CHECK(nn::total_steps({.epochs = 4, .schedule = {}}, source) == 16);
}

TEST_CASE("scrub: --compat comparator weighs the steps on F by alpha") {
  const Tensor logits = test::to_tensor(test::normal_values(kSamples * kClasses, 1),
                                        {kSamples, kClasses}),
               teacher = test::to_tensor(test::normal_values(kSamples * kClasses, 2),
                                         {kSamples, kClasses});
  const Batch batch = Images(1, 1).at(0, 0);
  const Ctx ctx;
  const Var student{logits, Var::kNone};
  const auto loss = [&](const ObjectiveNumbers& numbers) {
    return objective("distil-away")
        .loss({ctx, student, batch.labels, teacher, numbers})
        .value.data()[0];
  };
  const float whole = loss({.alpha = 0.25});
  CHECK(whole < 0);
  CHECK(loss({.alpha = 0.25, .away_by_alpha = true}) == doctest::Approx(0.25f * whole));
}

TEST_CASE("badteacher: each sample has its own side's teacher, whatever the student does") {
  nn::Model model = tiny();
  const Batch batch = Images(1, 1).at(0, 0);
  const int32_t* index = batch.index.as<int32_t>();
  const TeacherConfig config{.seed = 3, .forgotten = {index[4], index[0]}};
  const Teachers teachers(model.params, {Teacher::original, Teacher::untrained, Teacher::by_side},
                          config);
  const auto of = [&](Teacher kind) { return teachers.logits(kind, *model.network, batch); };
  const Tensor original = of(Teacher::original), untrained = of(Teacher::untrained),
               by_side = of(Teacher::by_side);
  for (int64_t i = 0; i < kSamples; ++i)
    for (int64_t c = 0; c < kClasses; ++c) {
      const int64_t at = i * kClasses + c;
      const bool forgotten = i == 0 || i == 4;
      CHECK(by_side.data()[at] == (forgotten ? untrained : original).data()[at]);
      CHECK(original.data()[at] != untrained.data()[at]);  // both began by seed 3
    }
  for (float& v : model.params.values().span()) v += 1;
  CHECK(same_bits(of(Teacher::by_side), by_side));
}

TEST_CASE("boundary-shrink: FGSM steps to whole pixels, inside the range, up the loss") {
  const nn::Model model = tiny();
  TeacherConfig config{.fgsm_step = 0.1, .mean = {0.5f, 0.4f, 0.3f}, .std = {0.2f, 0.25f, 0.3f}};
  const Batch batch = of_pixels(config);
  const Teachers teachers(model.params, {Teacher::beyond_boundary}, config);
  const Tensor stepped = teachers.stepped_images(*model.network, batch);
  int64_t clipped = 0, up = 0, down = 0;
  for (int64_t i = 0; i < stepped.size(); ++i) {
    const auto c = static_cast<size_t>(i % 3);
    const auto pixel = [&](const Tensor& x) {
      return 255.0 * (double{x.data()[i]} * double{config.std[c]} + double{config.mean[c]});
    };
    const double from = std::round(pixel(batch.x)), to = pixel(stepped);
    CHECK(std::abs(to - std::round(to)) < 1e-3);
    CHECK((to > -1e-3 && to < 255 + 1e-3));
    // 25.5 goes to the even neighbour: pixels move by 25 or 26
    const double by = std::round(std::abs(to - from));
    if (by == 25 || by == 26) {
      ++(to > from ? up : down);
    } else if (by != 0) {
      ++clipped;
      CHECK((std::round(to) == 0 || std::round(to) == 255));
    }
  }
  CHECK((up > 100 && down > 100 && clipped > 0));
  CHECK(cross_entropy(model, stepped, batch.labels) > cross_entropy(model, batch.x, batch.labels));
  CHECK_FALSE(teachers.logits(Teacher::none, *model.network, batch));
}

TEST_CASE("boundary-expand: the class more is new, and leaves nothing behind") {
  const nn::InputSpec spec{.height = 8, .width = 8, .channels = 3, .classes = kClasses};
  nn::Model model = nn::make_model("smallcnn", spec);
  nn::initialise(model.params, nn::Init::pytorch, 3);
  const nn::Model before{model.name, model.spec, nullptr, model.params.clone()};
  for (const ShadowRow row : {ShadowRow::xavier, ShadowRow::pytorch}) {
    nn::Model wide = with_shadow_class(model, row, 5);
    const Batch batch = Images(1, 1).at(0, 0);
    const Tensor narrow_logits =
        model.network->forward({.params = &model.params}, {batch.x, Var::kNone}).value;
    const Tensor wide_logits =
        wide.network->forward({.params = &wide.params}, {batch.x, Var::kNone}).value;
    CHECK(wide_logits.dim(1) == kClasses + 1);
    for (int64_t i = 0; i < kSamples; ++i)
      for (int64_t c = 0; c < kClasses; ++c)
        CHECK(wide_logits.data()[i * (kClasses + 1) + c] ==
              doctest::Approx(narrow_logits.data()[i * kClasses + c]));
    const float bias = wide.params.value(wide.params.parameters().count() - 1).data()[kClasses];
    CHECK((bias == 0) == (row == ShadowRow::xavier));
    drop_shadow_class(wide, model);
    CHECK(same_bits(model.params.values(), before.params.values()));
    CHECK(model.params.parameters().size() == before.params.parameters().size());
    for (float& v : wide.params.values().span()) v += 1;
    for (float& v : wide.params.statistic_values().span()) v += 1;
    drop_shadow_class(wide, model);
    CHECK(model.params.values().data()[0] == before.params.values().data()[0] + 1);
    CHECK(model.params.statistic_values().data()[0] ==
          before.params.statistic_values().data()[0] + 1);
    const Tensor last = model.params.value(model.params.parameters().count() - 1);
    CHECK(last.size() == kClasses);
    model.params.values().copy_from(before.params.values());
    model.params.statistic_values().copy_from(before.params.statistic_values());
  }
}

TEST_CASE("boundary-expand: a network that does not end in a linear layer is refused") {
  nn::Model model{.name = "odd", .spec = {.classes = kClasses}, .network = nullptr, .params = {}};
  model.params.add_parameter({.name = "w", .shape = {kClasses + 2, 7}});
  model.params.add_parameter({.name = "b", .shape = {kClasses + 2}});
  model.params.allocate();
  CHECK(test::error_code([&] { with_shadow_class(model, ShadowRow::xavier, 1); }) ==
        ExitCode::usage);
}

}  // namespace expunge::unlearn
