#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace expunge {

struct Batch;

// Makes images of batches where a step wants that done, so that its recording on a GPU holds it.
class ImageMaker {
 public:
  ImageMaker();
  virtual ~ImageMaker() = default;
  // Queues x of the batch that the source gave last, from memory that it filled then: the same work
  // for every batch of that size.
  virtual void make(const Batch& batch) const = 0;
  uint64_t number() const { return number_; }  // from 1; another maker's work is other work

 private:
  uint64_t number_;
};

// A mini-batch. A source fills the tensors it has; the others stay empty.
struct Batch {
  Tensor x{};                         // (N, H, W, C) f32, normalised and augmented
  Tensor labels{};                    // (N) i32, classes
  Tensor targets{};                   // (N, K) f32, regression
  Tensor index{};                     // (N) i32, positions of the samples in their data set
  const ImageMaker* maker = nullptr;  // null: x is there; otherwise it is where make() puts it
  int64_t size() const { return x ? x.dim(0) : 0; }
  void make() const {
    if (maker != nullptr) maker->make(*this);
  }
};

// Delivers an epoch of batches. What it delivers is a function of (epoch, position) alone, so a run
// can resume in the middle of an epoch.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t samples() const = 0;  // per epoch
  virtual int64_t batches() const = 0;  // per epoch; of the longest where epochs differ
  virtual int64_t batches_in(int epoch) const { return (void)epoch, batches(); }
  virtual void start(int epoch, int64_t first_batch = 0) = 0;
  virtual bool next(Batch& batch) = 0;  // false at the end of the epoch; the tensors are valid
                                        // until the next call
  // The same for who calls batch.make() before x is read: sources may leave the images to that.
  virtual bool next_unmade(Batch& batch) { return next(batch); }
};

}  // namespace expunge
