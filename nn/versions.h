#pragma once

#include <cstdint>

#include "core/function_ref.h"
#include "nn/loss_scale.h"

namespace expunge::nn {

// Bytes that kernels of a step read where it works, and that depend on how many steps were taken
// before it (LossScale::taken). In fp16 the host does not know of those that are on their way which
// overflow: it sends a version for each number that may be, and the device takes the one that
// holds.
class Versions {
 public:
  // bytes: a multiple of 8. depend: false where no version differs from another.
  Versions(int64_t bytes, Stream stream, bool depend);

  // fill(scalars of a step before which so many were taken, its bytes). on_their_way: steps before
  // this one whose results LossScale::skipped has not been told, below kernels::kVersions.
  using Fill = FunctionRef<void(const StepScalars& taken, void* bytes)>;
  void send(LossScale& scale, const StepScalars& scalars, int64_t on_their_way, Fill fill);
  // Queued before chosen() is read.
  void choose(const LossScale& scale) const;
  void* chosen() const { return chosen_.bytes(); }

 private:
  Tensor chosen_;  // where the step works
  // What the first version is for, then all of them; here_ on the host. Without versions_ the one
  // that there is.
  Tensor versions_, here_;
};

}  // namespace expunge::nn
