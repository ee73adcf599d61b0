#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "cudnn/problems.h"
#include "nn/network.h"
#include "support/error.h"

// What cuDNN answers for a device that is not there: plans are made, not run.
namespace expunge::kernels::cudnn {
namespace {

// Convolutions of a network; its linear layers are products of matrices, and cuBLAS's.
std::vector<Conv2dShape> convolutions(const char* model, int64_t batch) {
  std::vector<Conv2dShape> shapes;
  std::set<std::string> seen;
  for (const Conv2dShape& s : nn::make_model(model, {}).trace(batch).conv2d)
    if (s.H > 1 && seen.insert(ConvProblem{.shape = s}.str()).second) shapes.push_back(s);
  return shapes;
}

TEST_CASE("every layer of every network has a deterministic plan in every precision") {
  const Descriptor device = h200();
  int64_t plans = 0;
  for (const char* model : {"smallcnn", "resnet18", "vgg16_bn", "vgg16_bn_lth"})
    for (const int64_t batch : {1, 128, 512})
      for (const Conv2dShape& shape : convolutions(model, batch))
        for (const ConvPass pass : kPasses)
          for (const Precision precision : kPrecisions)
            for (const bool accumulates : {false, true}) {
              const ConvProblem p{pass, shape, precision, accumulates};
              CAPTURE(model);
              CAPTURE(p.str());
              CHECK(!conv_plans(p, device, {.count = 1}).empty());
              ++plans;
            }
  CHECK(plans > 1500);
}

TEST_CASE("there is a plan wherever tensors begin") {
  const Descriptor device = h200();
  for (const Conv2dShape& shape :
       {problem().shape,
        Conv2dShape{.N = 4, .H = 7, .W = 6, .C = 5, .K = 7, .R = 3, .S = 3, .stride = 2, .pad = 1},
        Conv2dShape{.N = 2, .H = 6, .W = 6, .C = 16, .K = 24, .R = 1, .S = 1, .stride = 2}})
    for (const ConvPass pass : kPasses)
      for (const Precision precision : kPrecisions)
        for (const bool accumulates : {false, true}) {
          ConvProblem p{pass, shape, precision, accumulates};
          p.alignment = static_cast<int64_t>(size_of(p.type()));
          CAPTURE(p.str());
          CHECK(!conv_plans(p, device).empty());
        }
}

TEST_CASE("plans keep the limits") {
  const Descriptor device = h200();
  for (const ConvPass pass : kPasses)
    for (const Precision precision : kPrecisions) {
      const std::vector<ConvPlan> all = conv_plans(problem(pass, precision), device);
      CHECK(all.size() <= PlanLimits{}.count);
      for (const ConvPlan& plan : all) CHECK(plan.workspace() <= PlanLimits{}.workspace);
      for (const int64_t bytes : {int64_t{0}, int64_t{40} << 20})
        for (const ConvPlan& plan :
             conv_plans(problem(pass, precision), device, {.workspace = bytes}))
          CHECK(plan.workspace() <= bytes);
    }
}

TEST_CASE("engines that are not deterministic are left out unless they are asked for") {
  const Descriptor device = h200();
  const ConvProblem p = problem(ConvPass::weights, Precision::fp32);
  const PlanLimits any{.deterministic = false, .count = 64}, same{.count = 64};
  std::set<std::string> allowed, promised;
  for (const ConvPlan& plan : conv_plans(p, device, any)) allowed.insert(plan.engine().str());
  for (const ConvPlan& plan : conv_plans(p, device, same)) promised.insert(plan.engine().str());
  CHECK(promised.size() < allowed.size());
  for (const std::string& engine : promised) CHECK(allowed.contains(engine));
}

std::vector<int64_t> own_images(const ConvProblem& p) {
  std::vector<int64_t> images;
  for (const ConvPlan& plan : conv_plans(p, h200()))
    if (plan.is_own()) images.push_back(plan.engine().knobs.at(0).second);
  return images;
}

TEST_CASE("in strict fp32 our Winograd stands beside cuDNN's plans, as --conv-algo says") {
  for (const ConvPass pass : kPasses) {
    ConvProblem p = strict(pass);
    p.shape.N = 512, p.shape.H = p.shape.W = 32;
    const std::vector<int64_t> images = own_images(p);  // 1.18 MB each, in 32, 128 and 448
    CHECK(images == std::vector<int64_t>{16, 64, 256});
    CHECK(conv_plans(p, h200()).size() > images.size());
    CHECK(conv_plans(p, h200(), {.count = 2}).size() == 2);
    CHECK(conv_plans(p, h200(), {.count = 4}).size() == 4);
    p.algo = ConvAlgo::direct;
    CHECK(own_images(p).empty());
    CHECK(!conv_plans(p, h200()).empty());
    p.algo = ConvAlgo::winograd;
    CHECK(own_images(p) == images);
    CHECK(conv_plans(p, h200()).size() == images.size());
    p.shape.N = 3;  // all of them fit in
    CHECK(own_images(p) == std::vector<int64_t>{3});
    p.shape = {.N = 512, .H = 4, .W = 4, .C = 512, .K = 512, .R = 3, .S = 3, .pad = 1};
    CHECK(own_images(p) == std::vector<int64_t>{128, 512});  // weights are of no account
    p.shape = {.N = 512, .H = 224, .W = 224, .C = 64, .K = 64, .R = 3, .S = 3, .pad = 1};
    CHECK(own_images(p) == std::vector<int64_t>{1, 2, 8});  // one is more than 32 MB
    p.shape.stride = 2;                                     // not possible
    CHECK(own_images(p).empty());
    CHECK(!conv_plans(p, h200()).empty());
  }
  ConvProblem p = strict();
  p.shape.C = 3;  // does not pay
  CHECK(own_images(p).empty());
  p = strict();
  p.alignment = 4;
  CHECK(own_images(p).empty());
  for (const Precision other : {Precision::tf32, Precision::bf16, Precision::fp16}) {
    p = strict();
    p.precision = other;
    CHECK(own_images(p).empty());
  }
}

TEST_CASE("our gradient of weights by taps stands beside cuDNN's plans") {
  ConvProblem p = problem(ConvPass::weights, Precision::tf32);  // (8, 16, 16, 64) to 64
  const auto own = [&](const PlanLimits& limits = {}) {
    std::vector<std::string> names;
    for (const ConvPlan& plan : conv_plans(p, h200(), limits))
      if (plan.is_own()) names.push_back(plan.engine().str());
    return names;
  };
  CHECK(own() == std::vector<std::string>{"-2 0=32"});
  CHECK(conv_plans(p, h200()).size() > 1);
  CHECK(conv_plans(p, h200()).front().workspace() == int64_t{32} * 64 * 9 * 64 * 4);
  CHECK(own({.workspace = 1 << 20}).empty());
  CHECK(conv_plan(p, h200(), *ConvEngine::parse("-2 0=32")));
  CHECK(!conv_plan(p, h200(), *ConvEngine::parse("-2 0=33")));
  p.shape.C = 32;
  CHECK(own().empty());
  p.shape.C = 64, p.alignment = 4;
  CHECK(own().empty());
  p = problem(ConvPass::data, Precision::tf32);
  CHECK(own().empty());
  for (const Precision precision : {Precision::bf16, Precision::fp16}) {
    p = problem(ConvPass::weights, precision);
    CHECK(own().empty());
    const std::string narrow = p.str();
    p.wide = true;  // in f32
    CHECK(own() == std::vector<std::string>{"-2 0=32"});
    CHECK(p.str() == narrow + " wide");
  }
}

TEST_CASE("a problem's name tells the ways apart") {
  ConvProblem p = problem();
  std::set<std::string> names;
  for (const ConvAlgo algo : {ConvAlgo::automatic, ConvAlgo::direct, ConvAlgo::winograd})
    p.algo = algo, names.insert(p.str());
  CHECK(names.size() == 3);
  p.algo = ConvAlgo::direct;
  CHECK(p.str() == "forward n8 h16 w16 c64 k64 r3 s3 stride1 pad1 bf16");
}

TEST_CASE("an engine's name is enough to make its plan again") {
  const Descriptor device = h200();
  for (const ConvPass pass : kPasses)
    for (const Precision precision : kPrecisions)
      for (const ConvPlan& plan : conv_plans(problem(pass, precision), device)) {
        const std::optional<ConvEngine> named = ConvEngine::parse(plan.engine().str());
        REQUIRE(named);
        const std::optional<ConvPlan> again = conv_plan(problem(pass, precision), device, *named);
        REQUIRE(again);
        CHECK(again->engine().str() == plan.engine().str());
        CHECK(again->workspace() == plan.workspace());
      }
}

TEST_CASE("a name that cuDNN does not know gives no plan") {
  const Descriptor device = h200();
  for (const char* text : {"", "x", "1 2", "1 2=", "1 =3", "1 2=3 x", "1 2-3"})
    CHECK(!ConvEngine::parse(text));
  for (const char* text : {"100000", "-1", "62 2=4 99=1", "62 2=100000", "62 2=4 2=4"}) {
    const std::optional<ConvEngine> engine = ConvEngine::parse(text);
    REQUIRE(engine);
    CHECK(!conv_plan(problem(), device, *engine));
  }
  // ours does not go by any number of images, nor in 16 bits
  for (const char* text : {"-1", "-1 0=0", "-1 0=-8", "-1 0=9", "-1 1=8", "-1 0=8 0=8"})
    CHECK(!conv_plan(strict(), device, *ConvEngine::parse(text)));
  CHECK(conv_plan(strict(), device, *ConvEngine::parse("-1 0=8")));
  CHECK(!conv_plan(problem(), device, *ConvEngine::parse("-1 0=8")));
  // strict fp32 does not take an engine of tensor cores, whoever wrote it down
  const std::vector<ConvPlan> tf32 =
      conv_plans(problem(ConvPass::forward, Precision::tf32), device, {.count = 1});
  REQUIRE(!tf32.empty());
  CHECK(!conv_plan(problem(ConvPass::forward, Precision::fp32), device, tf32.front().engine()));
}

TEST_CASE("plans of every engine are proposed, of each not too many") {
  const Descriptor device = h200();
  for (const Conv2dShape& shape : convolutions("resnet18", 512))
    for (const Precision precision : kPrecisions)
      for (const ConvPass pass : kPasses) {
        const ConvProblem p{pass, shape, precision};
        CAPTURE(p.str());
        std::map<int64_t, size_t> engines, all;
        for (const ConvPlan& plan : conv_plans(p, device)) ++engines[plan.engine().index];
        for (const ConvPlan& plan : conv_plans(p, device, {.count = 1000, .of_engine = 1000}))
          ++all[plan.engine().index];
        CHECK(engines.size() == all.size());
        for (const auto& [engine, count] : engines)
          CHECK(count == std::min(all[engine], PlanLimits{}.of_engine));
      }
}

TEST_CASE("properties that are none are refused with cuDNN's words") {
  CHECK(test::error_code([] { device_from_json("{}"); }) == ExitCode::device);
}

}  // namespace
}  // namespace expunge::kernels::cudnn
