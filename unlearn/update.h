#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/grad_alignment.h"
#include "nn/optim.h"
#include "nn/versions.h"
#include "unlearn/estimator.h"
#include "unlearn/gate_table.h"
#include "unlearn/whole_gate.h"

// What a step of unlearning does to the parameters, given its gradients: how sure their signs are,
// the gate, the optimizer. Source: Dine, Furon, Faure, arXiv 2511.02435 (docs/unlearning.md).
namespace expunge::unlearn {

// What is updated before the estimator knows anything: everything, or nothing.
enum class Warmup : unsigned char { none, hold };

struct UpdateConfig {
  double beta = 0.95;  // d = beta g_r + (1 - beta) g_f
  GateSpec gate;
  Tensor mask{};  // flat: w of a gate that uses a mask (unlearn/saliency.h)
  EstimatorSpec estimator;
  kernels::GateOn gate_on = kernels::GateOn::gradient;
  Warmup warmup = Warmup::none;
  bool record = true;  // on a GPU
};

// Flat buffers of the model's layout.
struct StepGradients {
  Tensor g_f, g_r;
  Tensor saliency{};  // s of gates that use it, where it is not g_f
};

// Owns what a gate remembers between steps: statistics, the mask.
class GatedUpdate {
 public:
  GatedUpdate(const ParamStore& params, nn::Optimizer& optimizer, StepGradients gradients,
              UpdateConfig config);

  // What watches the slices of a side's batch in its backward pass, or null.
  SliceStatistics* forget_slices() { return slices(stats_f_); }
  SliceStatistics* retain_slices() { return slices(stats_r_); }

  // One parameter, under a gate of Scope::element: any order, from inside the backward pass too.
  void parameter(int parameter, const StepScalars& scalars);
  // All parameters, under any gate. Returns how many have w > 0; -1 for element gates, which do not
  // count.
  int64_t all(const StepScalars& scalars);
  // The same queued, with GradAlignment's losses or none. Returns nothing where the gate counts:
  // whole_gate() will know. on_their_way: as nn::Versions::send's; not 0 only where
  // counts_ahead().
  std::optional<int64_t> queue_all(const StepScalars& scalars, const float* losses,
                                   int64_t on_their_way = 0);
  const WholeGate& whole_gate() const { return *whole_; }
  // Whether queue_all() may be called before the losses are known: gates and statistics stay on the
  // GPU.
  bool may_come_first() const;
  // Where steps may be skipped (nn::LossScale): whether queue_all() needs no more than that `taken`
  // steps or more were taken before.
  bool counts_ahead(int64_t taken) const;

  // Of the last call of all(), flat: w under gates of tensors and models, phi where they want it.
  const Tensor& weights() const { return weight_; }
  const Tensor& phi() const { return phi_; }

  std::vector<NamedBuffer> state() const;  // to save and restore with a run

 private:
  const GateRow& row() const { return *config_.gate.row; }
  bool warming(int64_t step) const;  // phi is wanted and says nothing yet
  kernels::GradAlignment alignment(int parameter, const StepScalars& scalars,
                                   const float* losses = nullptr) const;
  void send_rules(const StepScalars& scalars, int64_t on_their_way);
  const kernels::AlignmentRules* rules_there(int parameter) const;
  SliceStatistics* slices(GradientStatistics& stats) const;
  void take_in(int parameter, int64_t step, const float* losses = nullptr);
  void focus(int parameter, const StepScalars& scalars);
  Stream stream() const { return params_.values().stream(); }
  size_t group_of(int parameter) const;  // in optimizer_.groups()
  void cut_pieces();
  // body(parameter, begin, end) over all pieces: from which element of the parameter to which, in
  // one parallel round.
  template <class Body>
  void for_pieces(Body body) const;

  const ParamStore& params_;
  nn::Optimizer& optimizer_;
  const StepGradients gradients_;
  const UpdateConfig config_;
  GradientStatistics stats_f_, stats_r_;
  Tensor weight_, phi_;         // flat, where the gate wants them
  nn::Versions rules_;          // kernels::AlignmentRules of each group, where steps may be skipped
  std::vector<int64_t> first_;  // logical index of each range's first parameter
  // What is updated at once. A piece may go on into the next parameters.
  struct Piece {
    int parameter;
    int64_t begin, end;
  };
  std::vector<Piece> pieces_;
  std::optional<WholeGate> whole_;  // gates of tensors and models
};

}  // namespace expunge::unlearn
