#pragma once

#include <functional>

#include "core/batch_source.h"
#include "nn/network.h"

namespace expunge::nn {

// What a model says about one batch, in evaluation mode (running statistics, no dropout).
struct Prediction {
  const Batch& batch;
  const Tensor& logits;  // (N, classes)
  const Tensor& losses;  // (N) cross-entropy of each sample with its label
};

// One pass over the source's first epoch. `visit` returns false to stop early (interrupted). On a
// GPU the pass is ahead of it by two batches: by then batch.x may hold another's images.
void predict(const Model& model, BatchSource& source,
             const std::function<bool(const Prediction&)>& visit);

}  // namespace expunge::nn
