// Whole models on the device against the CPU, in fp32: a line of JSON each.
//   device_parity [IMAGES [MODEL...]]     64 images a batch; smallcnn resnet18 vgg16_bn
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "core/memory_cuda.h"
#include "nn/supervised_step.h"
#include "nn/ops.h"
#include "support/normal_values.h"
#include "unlearn/step.h"

namespace expunge {
namespace {

constexpr int kSteps = 10;
constexpr float kLr = 0.01f;
// Sums have another order there, and library functions differ in the last place. A ReLU whose input
// is rounding may then open on one side only: that puts gradients of the CPU's own two convolution
// algorithms 8e-3 apart (resnet18, 8 images, the worst tensor), and steps amplify it.
constexpr double kLogits = 1e-4, kGradients = 5e-2, kLosses = 5e-2;

class Images final : public BatchSource {
 public:
  Images(Stream stream, int64_t images, uint64_t key)
      : stream_(stream), images_(images), key_(key) {}
  int64_t samples() const override { return images_ * batches(); }
  int64_t batches() const override { return 4; }
  void start(int, int64_t batch) override { next_ = batch; }
  bool next(Batch& batch) override {
    if (next_ == batches()) return false;
    batch = at(next_++);
    return true;
  }
  Batch at(int64_t i) const {
    const auto key = key_ + static_cast<uint64_t>(i % batches());
    Batch batch{.x = Tensor({images_, 32, 32, 3})};
    const std::vector<double> values = test::normal_values(batch.x.size(), key);
    std::copy(values.begin(), values.end(), batch.x.data());
    batch.x = batch.x.to(stream_);
    batch.labels = Tensor({images_}, DType::i32);
    batch.index = Tensor({images_}, DType::i32);
    for (int64_t n = 0; n < images_; ++n) {
      batch.labels.as<int32_t>()[n] = static_cast<int32_t>((n + i) % 10);
      batch.index.as<int32_t>()[n] = static_cast<int32_t>(n);
    }
    return batch;
  }

 private:
  Stream stream_;
  int64_t images_, next_ = 0;
  uint64_t key_;
};

// ||a - b|| / ||b||
double distance(const Tensor& a, const Tensor& b) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    const double x = a.data()[i], y = b.data()[i];
    difference += (x - y) * (x - y), norm += y * y;
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

struct Side {
  Tensor logits, gradients;
  std::vector<double> losses{}, unlearning{};
  RangeTable table{};
};

Side run(const std::string& name, Stream stream, int64_t images) {
  set_compute_stream(stream);
  nn::Model model = nn::make_model(name, {});
  nn::initialise(model.params, nn::Init::kaiming, 1);
  const Images source(stream, images, 10);
  Side side;
  side.table = model.params.parameters();
  {
    const Ctx ctx{.stream = stream, .params = &model.params};
    side.logits = model.network->forward(ctx, {source.at(0).x, Var::kNone}).value.to({}).clone();
    Tape tape;
    const Tensor grads = model.params.make_buffer();
    tape.bind(model.params, {grads, 0.0f});
    const Ctx training{.stream = stream,
                       .params = &model.params,
                       .tape = &tape,
                       .batch_norm = BatchNormMode::frozen};
    const Batch batch = source.at(0);
    tape.backward(nn::cross_entropy(
        training, model.network->forward(training, {batch.x, Var::kNone}), batch.labels));
    side.gradients = grads.to({}).clone();
  }
  nn::Optimizer optimizer(model.params, {});
  nn::SupervisedStep training(model, optimizer);
  for (int step = 0; step < kSteps; ++step)
    side.losses.push_back(training.run(source.at(step), {.seed = 1, .step = step, .lr = kLr}).loss);
  Images retain(stream, images, 50);
  unlearn::StepConfig config;
  config.forget = &unlearn::objective("random-labels");
  config.retain = &unlearn::objective("ce");
  config.gate = unlearn::GateSpec::parse("focus");
  config.batches_per_epoch = 4;
  nn::Optimizer adam(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0});
  unlearn::UnlearnStep unlearning(model, adam, retain, config);
  for (int step = 0; step < kSteps; ++step)
    side.unlearning.push_back(
        unlearning.run(source.at(step), {.seed = 1, .step = step, .epoch = step / 4, .lr = 1e-4f})
            .loss);
  return side;
}

double worst_gradient(const Side& found, const Side& expected) {
  double worst = 0;
  for (const Range& range : expected.table)
    worst = std::max(worst, distance(ParamStore::view(found.gradients, range),
                                     ParamStore::view(expected.gradients, range)));
  return worst;
}

double worst_loss(const std::vector<double>& found, const std::vector<double>& expected) {
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double apart = std::abs(found[i] - expected[i]) / std::abs(expected[i]);
    worst = apart <= worst ? worst : apart;  // a NaN is taken
  }
  return worst;
}

bool compare(const std::string& name, Stream device, int64_t images) {
  const Side found = run(name, device, images), expected = run(name, {}, images);
  const double logits = distance(found.logits, expected.logits),
               gradients = worst_gradient(found, expected),
               losses = worst_loss(found.losses, expected.losses),
               unlearning = worst_loss(found.unlearning, expected.unlearning);
  const bool ok =
      logits <= kLogits && gradients <= kGradients && losses <= kLosses && unlearning <= kLosses;
  fmt::print(
      "{{\"model\":\"{}\",\"images\":{},\"logits\":{:.3g},\"gradients\":{:.3g},\"train\":{:.3g},"
      "\"unlearn\":{:.3g},\"ok\":{}}}\n",
      name, images, logits, gradients, losses, unlearning, ok);
  std::fflush(stdout);
  return ok;
}

}  // namespace
}  // namespace expunge

int main(int argc, char** argv) {
  using namespace expunge;
  try {
    const int64_t images = argc > 1 ? std::stol(argv[1]) : 64;
    std::vector<std::string> names(argv + std::min(argc, 2), argv + argc);
    if (names.empty()) names = {"smallcnn", "resnet18", "vgg16_bn"};
    const Stream device = cuda_open(0);
    bool ok = true;
    for (const std::string& name : names) ok = compare(name, device, images) && ok;
    return ok ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "device_parity: {}\n", error.what());
    return 2;
  }
}
