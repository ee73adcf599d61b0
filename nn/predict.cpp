#include "nn/predict.h"

#include "nn/ops.h"

namespace expunge::nn {

void predict(const Model& model, BatchSource& source,
             const std::function<bool(const Prediction&)>& visit) {
  const Ctx ctx{.stream = model.params.values().stream(), .params = &model.params};
  Batch batch;
  source.start(0);
  while (source.next(batch)) {
    const Var logits = model.network->forward(ctx, {batch.x, Var::kNone});
    Tensor losses(Shape{batch.size()});
    if (batch.labels) cross_entropy(ctx, logits, batch.labels, 0, &losses);
    if (!visit({batch, logits.value.to({}), losses.to({})})) return;
  }
}

}  // namespace expunge::nn
