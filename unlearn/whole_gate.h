#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/param_store.h"
#include "nn/step_recorder.h"
#include "unlearn/gate_table.h"

namespace expunge::unlearn {

// What gates look at: flat buffers of the model's layout, empty where the gate does not use them.
struct WholeGateInputs {
  Tensor g_f, g_r;
  Tensor saliency{}, phi{};
};

// A gate of tensors (Scope::tensor) or of the model: w of every parameter, from the same buffers
// each time. On a GPU rows that may be are recorded (nn/step_recorder.h): a tensor takes some ten
// launches; `opt` some thirty, of up to 64 large tensors together.
class WholeGate {
 public:
  // w: flat, where the model is; padding is 0 and stays so.
  WholeGate(const ParamStore& params, GateSpec gate, double beta, WholeGateInputs inputs, Tensor w,
            bool record);

  void weigh(const StepScalars& scalars);  // into w; nothing waits if the row works anywhere
  bool has_recorded() const { return recorder_.has_recorded(); }

  // How many w are above 0 since then: waits; or from where the model is, a double as two floats.
  int64_t kept() const;
  const Tensor& kept_there() const { return kept_; }
  static int64_t kept_of(std::span<const float> bytes);

 private:
  struct Buffers {
    Tensor g_f, g_r, s, phi, w;
  };
  const GateRow& row() const { return *gate_.row; }
  Stream gate_stream() const;
  Buffers buffers() const;
  template <class Part>
  GateInput input(const Buffers& of, const StepScalars& scalars, Part part) const;
  void one_tensor(const Buffers& of, int parameter, const StepScalars& scalars) const;
  void all_tensors(const Buffers& of, const StepScalars& scalars) const;
  void whole_model(const Buffers& of, const StepScalars& scalars) const;
  void all_of_it(const StepScalars& scalars) const;

  const ParamStore& params_;
  const GateSpec gate_;
  const double beta_;
  const WholeGateInputs inputs_;
  const Tensor w_, kept_;
  const bool record_;
  std::vector<int64_t> first_;                // logical index of each range's first parameter
  std::vector<int> by_size_;                  // parameters, the largest first
  std::vector<kernels::GateTensor> tensors_;  // parameters, in flat buffers
  nn::StepRecorder recorder_;
};

}  // namespace expunge::unlearn
