#pragma once

#include "core/batch_source.h"
#include "nn/fit.h"

// Order::in_turn: an epoch is every forget batch and then every retain batch, each with a step of
// its own.
namespace expunge::unlearn {

class InTurnSource final : public BatchSource {
 public:
  InTurnSource(BatchSource& forget, BatchSource& retain) : forget_(forget), retain_(retain) {}
  int64_t samples() const override { return forget_.samples() + retain_.samples(); }
  int64_t batches() const override { return forget_.batches() + retain_.batches(); }
  void start(int epoch, int64_t first_batch = 0) override {
    epoch_ = epoch;
    in_retain_ = first_batch >= forget_.batches();
    if (in_retain_)
      retain_.start(epoch, first_batch - forget_.batches());
    else
      forget_.start(epoch, first_batch);
  }
  bool next(Batch& batch) override {
    if (!in_retain_ && forget_.next(batch)) return true;
    if (!in_retain_) retain_.start(epoch_);
    in_retain_ = true;
    return retain_.next(batch);
  }

 private:
  BatchSource &forget_, &retain_;
  int epoch_ = 0;
  bool in_retain_ = false;
};

class InTurnStep final : public nn::Step {
 public:
  InTurnStep(nn::Step& forget, nn::Step& retain, int64_t forget_batches, int64_t batches)
      : forget_(forget), retain_(retain), forget_batches_(forget_batches), batches_(batches) {}
  nn::StepResult run(const Batch& batch, const StepScalars& scalars) override {
    const bool in_retain = scalars.step % batches_ >= forget_batches_;
    return (in_retain ? retain_ : forget_).run(batch, scalars);
  }

 private:
  nn::Step &forget_, &retain_;
  int64_t forget_batches_, batches_;
};

}  // namespace expunge::unlearn
