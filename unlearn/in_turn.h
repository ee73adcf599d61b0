#pragma once

#include <algorithm>

#include "core/batch_source.h"
#include "nn/fit.h"

// Order::in_turn: an epoch is every forget batch and then every retain batch, each with a step of
// its own; after the first `forget_epochs` it is retain batches alone (SCRUB's maximising steps).
namespace expunge::unlearn {

class InTurnSource final : public BatchSource {
 public:
  InTurnSource(BatchSource& forget, BatchSource& retain, int forget_epochs)
      : forget_(forget), retain_(retain), forget_epochs_(forget_epochs) {}
  int64_t samples() const override { return forget_.samples() + retain_.samples(); }
  int64_t batches() const override { return forget_.batches() + retain_.batches(); }
  int64_t batches_in(int epoch) const override {
    return forget_batches_in(epoch) + retain_.batches();
  }
  int64_t forget_batches_in(int epoch) const {
    return epoch < forget_epochs_ ? forget_.batches() : 0;
  }
  int64_t first_step_of(int epoch) const {
    return std::min(epoch, forget_epochs_) * forget_.batches() + epoch * retain_.batches();
  }
  void start(int epoch, int64_t first_batch = 0) override {
    epoch_ = epoch;
    in_retain_ = first_batch >= forget_batches_in(epoch);
    if (in_retain_)
      retain_.start(epoch, first_batch - forget_batches_in(epoch));
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
  int forget_epochs_;
  int epoch_ = 0;
  bool in_retain_ = false;
};

class InTurnStep final : public nn::Step {
 public:
  InTurnStep(nn::Step& forget, nn::Step& retain, const InTurnSource& source)
      : forget_(forget), retain_(retain), source_(source) {}
  nn::StepResult run(const Batch& batch, const StepScalars& scalars) override {
    const int64_t place = scalars.step - source_.first_step_of(scalars.epoch);
    const bool in_retain = place >= source_.forget_batches_in(scalars.epoch);
    return (in_retain ? retain_ : forget_).run(batch, scalars);
  }

 private:
  nn::Step &forget_, &retain_;
  const InTurnSource& source_;
};

}  // namespace expunge::unlearn
