#pragma once

#include <vector>

#include "nn/fit.h"
#include "unlearn/influence.h"
#include "unlearn/methods.h"

// Methods that change the weights once: ssd, fisher, influence. Their steps are passes over batches
// that leave the weights alone and gather what there is to know; the last step of their one epoch
// changes them. So progress, checkpoints and resuming are those of any run.
namespace expunge::unlearn {

// "ssd:10,dampen=1", "fisher:1e-6", "influence:1,samples=1000,damping=1,iterations=20",
// "influence:20,form=optml".
struct OneShotSpec {
  SsdConfig ssd;
  FisherConfig fisher;
  InfluenceConfig influence;
  static OneShotSpec parse(const std::string& text);  // ExitCode::usage
};

// A source that is gone through `rounds` times.
struct Leg {
  BatchSource& source;
  int64_t rounds = 1;
  int64_t batches() const { return source.batches() * rounds; }
};

// One leg after the other.
class LegSource final : public BatchSource {
 public:
  explicit LegSource(std::vector<Leg> legs) : legs_(std::move(legs)) {}
  int64_t samples() const override;
  int64_t batches() const override;
  void start(int epoch, int64_t first_batch = 0) override;
  bool next(Batch& batch) override;

 private:
  std::vector<Leg> legs_;
  size_t leg_ = 0;
  int64_t round_ = 0;
  int epoch_ = 0;
};

// A number that a step found out, for metrics.jsonl.
struct Fact {
  const char* name;
  double value;
};

class OneShot : public nn::Step {
 public:
  // Batches have evaluation mode and no augmentation. The legs are: ssd F, all samples; fisher R;
  // influence F, R, and the N samples one by one.
  OneShot(nn::Model& model, std::vector<Leg> legs);
  // loss: the mean cross-entropy of the batch.
  nn::StepResult run(const Batch& batch, const StepScalars& scalars) final;
  virtual int passes() const { return 1; }  // forward and backward, of one step
  virtual std::vector<NamedBuffer> state() const = 0;
  const std::vector<Fact>& facts() const { return facts_; }  // of the last step

 protected:
  // Where a step stands: batch `batch` of `batches` in a round of a leg.
  struct Where {
    size_t leg;
    int64_t batch, batches, round;
  };
  // Learns from a batch and returns its loss.
  virtual double look(const Where& where, const Batch& batch) = 0;
  virtual void change(uint64_t seed) = 0;
  double gradient(const Batch& batch);  // into gradient_, unless the loss is not finite

  nn::Model& model_;
  const std::vector<Leg> legs_;
  Tensor gradient_;  // of the mean cross-entropy of a batch
  std::vector<Fact> facts_;

 private:
  Where where(int64_t step) const;
  Tape tape_;
};

std::unique_ptr<OneShot> make_one_shot(const Method& method, const OneShotSpec& spec,
                                       nn::Model& model, std::vector<Leg> legs);

}  // namespace expunge::unlearn
