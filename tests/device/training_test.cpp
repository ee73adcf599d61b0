#include <set>
#include <utility>

#include "data/loader.h"
#include "device/twins.h"
#include "nn/checkpoint.h"
#include "nn/model_file.h"
#include "nn/predict.h"
#include "nn/supervised_step.h"
#include "support/temp_dir.h"

namespace expunge {
namespace {

using namespace test;

// Three steps of training on each. Adam divides by the size of the gradient: where that is
// rounding, so is the step.
template <class Network>
void train_both(const nn::OptimConfig& config) {
  nn::Model here = tiny_model<Network>(), there = tiny_model<Network>();
  there.params.move_to(device());
  nn::Optimizer optimizer_here(here.params, config), optimizer_there(there.params, config);
  nn::SupervisedStep on_cpu(here, optimizer_here, {.label_smoothing = 0.1f}),
      on_device(there, optimizer_there, {.label_smoothing = 0.1f});
  const ImagesAt images_here({}, 100, 3), images_there(device(), 100, 3);
  for (int step = 0; step < 3; ++step) {
    const StepScalars scalars{.seed = 1, .step = step, .lr = 0.01f};
    const nn::StepResult a = on_cpu.run(images_here.at(0, step), scalars),
                         b = on_device.run(images_there.at(0, step), scalars);
    CHECK(std::abs(a.loss - b.loss) <= 1e-4 * std::abs(a.loss));
    CHECK(a.correct == b.correct);
    CHECK(std::abs(a.grad_norm - b.grad_norm) <= 1e-3 * a.grad_norm);
    const Apart found = apart(here.params, there.params);
    CHECK_MESSAGE(found.share <= (config.kind == nn::OptimKind::sgd ? 0 : 0.02),
                  "share apart: ", found.share);
  }
}

}  // namespace

TEST_CASE("device: training steps like the CPU's, every optimizer, with clipping and decay") {
  using enum nn::OptimKind;
  for (const auto kind : {sgd, adam, adamw}) {
    const nn::OptimConfig config{
        .kind = kind, .momentum = 0.9f, .nesterov = true, .weight_decay = 1e-2f, .clip_norm = 1};
    train_both<TinyResNet>(config);
    train_both<TinyVgg>(config);
  }
}

// The values after three steps on the device.
template <class Network>
Tensor trained_there() {
  nn::Model model = tiny_model<Network>();
  model.params.move_to(device());
  nn::Optimizer optimizer(model.params, {.momentum = 0.9f});
  nn::SupervisedStep step(model, optimizer);
  const ImagesAt images(device(), 100, 3);
  for (int64_t k = 0; k < 3; ++k) step.run(images.at(0, k), {.step = k, .lr = 0.05f});
  return model.params.values().to({});
}

TEST_CASE("device: two batch norms that are added, as one operation, have the bits of two") {
  using enum kernels::Precision;
  for (const auto precision : {fp32, bf16, fp16}) {
    const WithPrecision with(precision);
    const Tensor one = trained_there<ShortcutBlock<true>>(),
                 two = trained_there<ShortcutBlock<false>>(),
                 before = tiny_model<ShortcutBlock<true>>().params.values();
    CHECK(std::ranges::equal(one.span(), two.span()));
    CHECK_FALSE(std::ranges::equal(one.span(), before.span()));
  }
}

TEST_CASE("device: parameters turned into 16 bits all at once give the bits of one by one") {
  using enum kernels::Precision;
  nn::Model model = tiny_model<TinyResNet>();
  model.params.move_to(device());
  const Tensor x = ImagesAt(device(), 100, 1).at(0, 0).x;
  for (const auto precision : {fp32, bf16, fp16}) {
    const WithPrecision with(precision);
    Ctx ctx{.stream = device(), .params = &model.params};
    const Tensor one_by_one = model.network->forward(ctx, {x, Var::kNone}).value.to({});
    ctx.params16 = nn::params16(model.params);
    CHECK(bool(ctx.params16) == (precision != fp32));
    for (int i = 0; ctx.params16 && i < model.params.parameters().count(); ++i) {
      const Tensor w = ctx.in_16_bits(model.params.value(i));
      CHECK(w.shape() == model.params.value(i).shape());
      CHECK(std::ranges::equal(
          nn::as_f32(w).to({}).span(),
          nn::as_f32(nn::cast(ctx, {model.params.value(i), Var::kNone}, w.dtype()).value)
              .to({})
              .span()));
    }
    CHECK_FALSE(bool(ctx.in_16_bits(x)));  // no parameter
    const Tensor at_once = model.network->forward(ctx, {x, Var::kNone}).value.to({});
    CHECK(std::ranges::equal(at_once.span(), one_by_one.span()));
  }
}

// In bf16 activations and convolutions have 8 bits, in fp16 11: the loss moves by about 2^-8 and
// 2^-11 of itself, and ten steps go the same way.
TEST_CASE_TEMPLATE("device: training in 16 bits goes the way of f32", Network, TinyResNet,
                   WideVgg) {
  using enum kernels::Precision;
  // The wide one would have them by heart after ten such steps, and a loss of nearly nothing.
  constexpr float kRate = std::is_same_v<Network, WideVgg> ? 0.01f : 0.02f;
  const auto losses = [](Stream stream, kernels::Precision precision) {
    const WithPrecision with(precision);
    nn::Model model = tiny_model<Network>();
    model.params.move_to(stream);
    nn::Optimizer optimizer(model.params, {});
    nn::SupervisedStep step(model, optimizer);
    const ImagesAt images(stream, 100, 2);
    std::vector<double> all;
    for (int i = 0; i < 10; ++i)
      all.push_back(step.run(images.at(0, i % 2), {.seed = 1, .step = i, .lr = kRate}).loss);
    return all;
  };
  const auto exact = losses({}, fp32);
  CHECK(exact.back() < 0.9 * exact.front());
  for (const auto& [precision, tolerance] : {std::pair{bf16, 0.03}, std::pair{fp16, 0.004}}) {
    const auto coarse = losses(device(), precision);
    for (size_t i = 0; i < exact.size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(coarse[i] - exact[i]) <= tolerance * exact[i]);
    }
    CHECK(coarse != exact);
  }
}

TEST_CASE("device: evaluation from batches of one place, recorded, with a short one at the end") {
  nn::Model here = tiny_model<TinyResNet>(), there = tiny_model<TinyResNet>();
  there.params.move_to(device());
  constexpr int64_t kBatches = 40;  // enough to be recorded
  OnePlace source(7, kBatches, true);
  Images images(7, kBatches);
  int64_t batches = 0;
  nn::predict(there, source, [&](const nn::Prediction& p) {
    const Batch batch = images.at(0, batches++);
    const int64_t n = p.logits.dim(0);
    CHECK(n == (batches < kBatches ? kSamples : kSamples - 1));
    const Ctx ctx{.params = &here.params};
    const Tensor expected = here.network->forward(ctx, {batch.x, Var::kNone}).value;
    for (int64_t i = 0; i < p.logits.size(); ++i)
      CHECK(std::abs(p.logits.data()[i] - expected.data()[i]) <=
            1e-5f * (1 + std::abs(expected.data()[i])));
    for (int64_t i = 0; i < n; ++i) {
      CHECK(p.batch.labels.as<int32_t>()[i] == batch.labels.as<int32_t>()[i]);
      CHECK(p.batch.index.as<int32_t>()[i] == batch.index.as<int32_t>()[i]);
      CHECK(p.losses.data()[i] > 0);
    }
    return true;
  });
  CHECK(batches == kBatches);
  batches = 0;
  nn::predict(there, source, [&](const nn::Prediction&) { return ++batches < 2; });
  CHECK(batches == 2);
}

TEST_CASE("device: evaluation of batches that grow") {
  class Growing final : public BatchSource {
   public:
    int64_t samples() const override { return 1 + 3 + 6; }
    int64_t batches() const override { return 3; }
    void start(int, int64_t batch) override { next_ = batch; }
    bool next(Batch& batch) override {
      constexpr int64_t kSizes[] = {1, 3, 6};
      if (next_ == 3) return false;
      const int64_t n = kSizes[next_];
      batch = images_.at(0, next_++);
      batch.x = batch.x.slice(0, {n, 8, 8, 3});
      batch.labels = batch.labels.slice(0, {n});
      return true;
    }

   private:
    ImagesAt images_{device(), 7, 3};
    int64_t next_ = 0;
  } source;
  nn::Model model = tiny_model<TinyResNet>();
  model.params.move_to(device());
  std::vector<int64_t> sizes;
  nn::predict(model, source, [&](const nn::Prediction& p) {
    sizes.push_back(p.logits.dim(0));
    CHECK(p.batch.labels.size() == p.logits.dim(0));
    return true;
  });
  CHECK(sizes == std::vector<int64_t>{1, 3, 6});
}

TEST_CASE("device: labels that are no classes are refused before they are sent") {
  nn::Model model = tiny_model<TinyResNet>();
  model.params.move_to(device());
  Batch batch = ImagesAt(device(), 7, 1).at(0, 0);
  batch.labels.as<int32_t>()[1] = static_cast<int32_t>(kClasses);
  nn::Optimizer optimizer(model.params, {});
  nn::SupervisedStep step(model, optimizer);
  CHECK_THROWS_WITH(step.run(batch, {.lr = 0.1f}), doctest::Contains("label 5 of 5 classes"));
}

TEST_CASE("device: evaluation, and files written and read, wherever the values lie") {
  const TempDir dir;
  nn::Model here = tiny_model<TinyResNet>(), there = tiny_model<TinyResNet>();
  there.params.move_to(device());
  ImagesAt images_here({}, 7, 2), images_there(device(), 7, 2);
  std::vector<float> logits[2], losses[2];
  const auto collect = [&](int side, const nn::Model& model, BatchSource& source) {
    nn::predict(model, source, [&](const nn::Prediction& p) {
      logits[side].insert(logits[side].end(), p.logits.span().begin(), p.logits.span().end());
      losses[side].insert(losses[side].end(), p.losses.span().begin(), p.losses.span().end());
      return true;
    });
  };
  collect(0, here, images_here);
  collect(1, there, images_there);
  REQUIRE(logits[0].size() == logits[1].size());
  for (size_t i = 0; i < logits[0].size(); ++i)
    CHECK(std::abs(logits[0][i] - logits[1][i]) <= 1e-5f * (1 + std::abs(logits[0][i])));
  for (size_t i = 0; i < losses[0].size(); ++i)
    CHECK(std::abs(losses[0][i] - losses[1][i]) <= 1e-5f * (1 + losses[0][i]));

  nn::save_model(dir / "device.safetensors", there, {});
  nn::Model back = tiny_model<TinyResNet>();
  back.params.values().zero();
  nn::load_model(dir / "device.safetensors", back);
  CHECK(apart(here.params, back.params).worst == 0);
  there.params.values().zero();
  nn::load_model(dir / "device.safetensors", there);
  CHECK(apart(here.params, there.params).worst == 0);

  nn::Optimizer optimizer(there.params, {.kind = nn::OptimKind::adam});
  nn::save_state(dir / "state", there, optimizer, {}, {});
  there.params.values().zero();
  nn::load_state(dir / "state", there, optimizer, {});
  CHECK(apart(here.params, there.params).worst == 0);
  CHECK(there.parameter_count() == here.parameter_count());
  CHECK(there.trace().conv2d.size() == here.trace().conv2d.size());
}

TEST_CASE("device: batches of a data set have the bits of the CPU's") {
  const data::Dataset set = data::open_dataset("builtin");
  data::LoaderConfig config{.positions = {5, 900, 3, 77, 1500, 12, 8},
                            .batch_size = 3,
                            .shuffle = true,
                            .crop = true,
                            .flip = true,
                            .seed = 4};
  data::Loader on_cpu(set, config);
  config.stream = device();
  data::Loader on_device(set, config);
  Batch a, b;
  for (const bool unmade : {false, true}) {
    on_cpu.start(1);
    on_device.start(1);
    while (unmade ? on_cpu.next_unmade(a) : on_cpu.next(a)) {
      REQUIRE((unmade ? on_device.next_unmade(b) : on_device.next(b)));
      CHECK(a.maker == nullptr);
      CHECK((b.maker != nullptr) == unmade);
      CHECK(b.x.stream().device == Device::cuda);
      if (unmade) b.x.zero();
      b.make();
      const Tensor x = b.x.to({});
      CHECK(std::ranges::equal(a.x.span(), x.span()));
      const auto labels_of = [](const Batch& batch) {
        return std::span(batch.labels.as<int32_t>(), static_cast<size_t>(batch.size()));
      };
      CHECK(std::ranges::equal(labels_of(a), labels_of(b)));
    }
    CHECK(!on_device.next_unmade(b));
  }
}

// A loader's batch lies where another's may have been before.
TEST_CASE("device: recorded steps make the images of their time and of their loader") {
  const data::Dataset digits = data::open_dataset("builtin");
  data::Dataset negative = digits;
  for (uint8_t& p : negative.pixels) p = static_cast<uint8_t>(255 - p);
  const auto losses = [&](bool record) {
    nn::Model model = small_model_there(digits);
    nn::Optimizer optimizer(model.params, {});
    nn::SupervisedStep step(model, optimizer, {.record = record});
    std::vector<double> found;
    for (const auto* set : {&digits, &std::as_const(negative), &digits}) {
      data::Loader loader(*set, {.positions = {5, 900, 3, 77, 1500, 12, 8, 31, 32},
                                 .batch_size = 3,
                                 .shuffle = true,
                                 .crop = true,
                                 .stream = device()});
      Batch batch;
      for (loader.start(0); loader.next_unmade(batch);)
        found.push_back(step.run(batch, {.lr = 1e-3f}).loss);
    }
    CHECK(step.has_recorded() == record);
    return found;
  };
  const std::vector<double> recorded = losses(true);
  CHECK(recorded == losses(false));
  CHECK(std::set(recorded.begin(), recorded.end()).size() == recorded.size());
}

}  // namespace expunge
