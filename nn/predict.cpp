#include "nn/predict.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/late_numbers.h"
#include "nn/ops.h"
#include "nn/step_recorder.h"

namespace expunge::nn {
namespace {

// Logits of a batch, and each sample's loss where it has a label.
struct Answers {
  Tensor logits, losses;
};
Answers answers(const Model& model, const Tensor& x, const Tensor& labels) {
  const Ctx ctx{.stream = model.params.values().stream(),
                .params = &model.params,
                .params16 = params16(model.params)};
  const Var logits = model.network->forward(ctx, {x, Var::kNone});
  Answers found{logits.value, Tensor(Shape{x.dim(0)}, DType::f32, ctx.stream)};
  if (labels) cross_entropy(ctx, logits, labels, 0, &found.losses);
  return found;
}

// On a GPU: answers are read while it works on the next batch. Forward passes of many batches are
// recorded (nn/step_recorder.h); of few, to record and to make the graph is expected to take longer
// than it saves (not yet timed).
class Ahead {
 public:
  // Of a source with so many batches, of `images` at most.
  Ahead(const Model& model, int64_t batches, int64_t images)
      : model_(model),
        records_(batches >= kManyBatches),
        stream_(model.params.values().stream()),
        logits_({images, model.spec.classes}, DType::f32, stream_),
        losses_({images}, DType::f32, stream_),
        labels_({images}, DType::i32, stream_),
        late_logits_(stream_, logits_.size(), kMost),
        late_losses_(stream_, losses_.size(), kMost) {}

  static constexpr size_t kMost = 2;
  bool holds(const Batch& batch) const { return batch.size() <= losses_.size(); }
  bool is_full() const { return late_logits_.on_their_way() == kMost; }
  bool is_empty() const { return late_logits_.on_their_way() == 0; }

  void queue(const Batch& batch) {
    const int64_t n = batch.size(), C = model_.spec.classes;
    const Tensor labels = batch.labels ? labels_.slice(0, {n}) : Tensor();
    check_labels(batch.labels, C);
    if (labels) labels.copy_from(batch.labels);
    const auto work = [&] {
      batch.make();
      const Answers found = answers(model_, batch.x, labels);
      logits_.slice(0, {n, C}).copy_from(found.logits);
      losses_.slice(0, {n}).copy_from(found.losses);
    };
    records_ ? recorder_.run(stream_, {StepRecorder::place_of(batch)}, work) : work();
    late_logits_.send(logits_), late_losses_.send(losses_);
    Batch& kept = queued_[next_++ % kMost];
    kept = batch;  // a source may fill the same tensors again
    if (batch.labels) kept.labels = batch.labels.clone();
    if (batch.index) kept.index = batch.index.clone();
  }

  bool visit_oldest(const std::function<bool(const Prediction&)>& visit) {
    const Batch& batch = queued_[(next_ - late_logits_.on_their_way()) % kMost];
    const int64_t n = batch.size();
    const Tensor logits({n, model_.spec.classes}), losses({n});
    std::ranges::copy_n(late_logits_.take().begin(), logits.size(), logits.data());
    std::ranges::copy_n(late_losses_.take().begin(), n, losses.data());
    return visit({batch, logits, losses});
  }

 private:
  static constexpr int64_t kManyBatches = 32;
  const Model& model_;
  const bool records_;
  const Stream stream_;
  const Tensor logits_, losses_, labels_;
  StepRecorder recorder_;
  LateNumbers late_logits_, late_losses_;
  std::array<Batch, kMost> queued_;
  size_t next_ = 0;
};

void predict_ahead(const Model& model, BatchSource& source,
                   const std::function<bool(const Prediction&)>& visit) {
  std::optional<Ahead> ahead;
  const auto visit_all = [&] {
    while (ahead && !ahead->is_empty())
      if (!ahead->visit_oldest(visit)) return false;
    return true;
  };
  Batch batch;
  while (source.next_unmade(batch)) {
    if (!ahead || !ahead->holds(batch)) {
      if (!visit_all()) return;
      ahead.emplace(model, source.batches(), batch.size());
    }
    if (ahead->is_full() && !ahead->visit_oldest(visit)) return;
    ahead->queue(batch);
  }
  visit_all();
}

}  // namespace

void predict(const Model& model, BatchSource& source,
             const std::function<bool(const Prediction&)>& visit) {
  source.start(0);
  if (model.params.values().stream().device == Device::cuda)
    return predict_ahead(model, source, visit);
  Batch batch;
  while (source.next(batch)) {
    const auto [logits, losses] = answers(model, batch.x, batch.labels);
    if (!visit({batch, logits, losses})) return;
  }
}

}  // namespace expunge::nn
