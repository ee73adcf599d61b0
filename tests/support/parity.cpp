#include "support/parity.h"

#include <cmath>

#include "nn/supervised_step.h"
#include "nn/model_file.h"
#include "nn/ops.h"

namespace expunge::test {
namespace {

// The batches of x and labels, one a step.
class Batches final : public BatchSource {
 public:
  Batches(const NamedTensor& x, const NamedTensor& labels) : x_(x), labels_(labels) {
    EXPUNGE_CHECK(x.shape.size() == 5 && labels.shape.size() == 2 && x.shape[0] == labels.shape[0],
                  "parity: x must be (steps, N, C, H, W), labels (steps, N), got rank {} and {}",
                  x.shape.size(), labels.shape.size());
  }
  int64_t samples() const override { return batches() * x_.shape[1]; }
  int64_t batches() const override { return x_.shape[0]; }
  void start(int, int64_t first) override { next_ = first; }
  bool next(Batch& batch) override {
    if (next_ == batches()) return false;
    batch = at(next_++);
    return true;
  }
  Batch at(int64_t i) const {
    const std::vector<int64_t> shape(x_.shape.begin() + 1, x_.shape.end());
    const int64_t N = shape[0], size = x_.values.size() / batches();
    Batch batch{.x = nhwc(x_.values.data() + i * size, shape)};
    batch.labels = Tensor({N}, DType::i32);
    for (int64_t n = 0; n < N; ++n)
      batch.labels.as<int32_t>()[n] = static_cast<int32_t>(labels_.values.data()[i * N + n]);
    return batch;
  }

 private:
  const NamedTensor &x_, &labels_;
  int64_t next_ = 0;
};

struct Losses final : nn::EpochHook {
  std::vector<float> values;
  nn::Continue after_step(const nn::FitPosition&, const nn::StepResult& result,
                          const StepScalars&) override {
    values.push_back(static_cast<float>(result.loss));
    return nn::Continue::yes;
  }
  nn::Continue after_epoch(const nn::FitPosition&) override { return nn::Continue::yes; }
};

NamedTensor logits_of(const char* name, const nn::Model& model, const Batch& batch) {
  const Tensor y = model.network->forward({.params = &model.params}, {batch.x, Var::kNone}).value;
  return {name, {y.dim(0), y.dim(1)}, y};
}

// In training mode; the running statistics stay what they were.
void add_gradients(const nn::Model& model, const Batch& batch, std::vector<NamedTensor>& out) {
  Tape tape;
  const Tensor grads = model.params.make_buffer();
  tape.bind(model.params, {grads, 0.0f});
  const StepScalars scalars;
  const Ctx ctx{.params = &model.params,
                .tape = &tape,
                .mode = Mode::train,
                .batch_norm = BatchNormMode::frozen,
                .scalars = &scalars};
  const Var logits = model.network->forward(ctx, {batch.x, Var::kNone});
  out.push_back({"logits.train", {logits.value.dim(0), logits.value.dim(1)}, logits.value.clone()});
  tape.backward(nn::cross_entropy(ctx, logits, batch.labels));
  for (NamedTensor& t : nn::to_pytorch(model.params.parameters(), grads))
    out.push_back({"grad/" + t.name, t.shape, t.values});
}

}  // namespace

Tensor nhwc(const float* values, const std::vector<int64_t>& nchw) {
  const int64_t N = nchw[0], C = nchw[1], HW = nchw[2] * nchw[3];
  Tensor out({N, nchw[2], nchw[3], C});
  for (int64_t n = 0; n < N; ++n)
    for (int64_t c = 0; c < C; ++c)
      for (int64_t i = 0; i < HW; ++i)
        out.data()[(n * HW + i) * C + c] = values[(n * C + c) * HW + i];
  return out;
}

Tensor nhwc(const NamedTensor& t) {
  if (t.shape.size() == 4) return nhwc(t.values.data(), t.shape);
  Shape shape;
  for (int64_t extent : t.shape) shape.push_back(extent);
  return t.values.reshape(shape);
}

double distance(std::span<const float> a, std::span<const float> b) {
  EXPUNGE_CHECK(a.size() == b.size(), "distance: {} and {} values", a.size(), b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - double{b[i]}) * (double{a[i]} - double{b[i]});
    norm += double{b[i]} * double{b[i]};
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

std::vector<NamedTensor> parity(nn::Model& model, const NamedTensor& x, const NamedTensor& labels,
                                const std::string& optimizer, double lr) {
  Batches batches(x, labels);
  const Batch first = batches.at(0);
  std::vector<NamedTensor> out = {logits_of("logits.eval", model, first)};
  add_gradients(model, first, out);

  // optimizer_of() of tools/golden.py
  const bool sgd = optimizer == "sgd";
  nn::Optimizer steps(model.params, {.kind = sgd ? nn::OptimKind::sgd : nn::OptimKind::adam,
                                     .momentum = 0.9f,
                                     .nesterov = true,
                                     .weight_decay = 5e-4f});
  nn::SupervisedStep step(model, steps);
  Losses losses;
  nn::fit({.lr = lr, .schedule = nn::Schedule::parse("constant")}, batches, step, losses);
  Tensor values({std::ssize(losses.values)});
  std::ranges::copy(losses.values, values.data());
  out.push_back({"losses", {values.size()}, values});
  const ParamStore& params = model.params;
  for (NamedTensor& t : nn::to_pytorch(params.parameters(), params.values()))
    out.push_back({"after/" + t.name, t.shape, t.values});
  for (NamedTensor& t : nn::to_pytorch(params.statistics(), params.statistic_values()))
    out.push_back({"after/" + t.name, t.shape, t.values});
  out.push_back(logits_of("logits.after", model, first));
  return out;
}

}  // namespace expunge::test
