#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/conv2d.h"
#include "kernels/conv_algo.h"
#include "kernels/graph_cudnn.h"
#include "kernels/precision.h"

// How cuDNN is to run a convolution: heuristics propose engines, we take those that keep our
// promises, and the fastest of them becomes a plan (conv2d_cudnn.cpp). Some of our own are among
// them (own_plan_cudnn.h).
namespace expunge::kernels::cudnn {

enum class ConvPass : unsigned char { forward, data, weights };
struct ConvProblem {
  ConvPass pass = ConvPass::forward;
  Conv2dShape shape{};                    // weights: N is the number of images summed over
  Precision precision = Precision::fp32;  // 16-bit ones: of the data, too
  bool accumulates = false;               // adds to what is there (beta 1), otherwise replaces it
  int64_t alignment = 16;                 // bytes, of every tensor
  ConvAlgo algo = ConvAlgo::direct;       // direct: without Winograd
  bool wide = false;                      // the gradient of the weights in f32, of 16-bit data

  DType type() const;       // of the data
  std::string str() const;  // a key: "forward n128 h32 w32 c64 k64 r3 s3 stride1 pad1 bf16"
};

// What a plan may be like.
struct PlanLimits {
  bool deterministic = true;  // same bits in every run
  // bytes; in strict fp32 cuDNN's fast data gradients want up to 269 MB at a batch of 512 (in the
  // next best ResNet18 took 7 times as long), our Winograd up to all of it; tensor cores at most 37
  int64_t workspace = int64_t{512} << 20;
  size_t count = 64;  // as many at most, and of one engine, with other knobs, so many
  size_t of_engine = 12;
};

// Where the convolution's tensors are; x, w and y as in conv2d.h, whichever the pass writes.
struct ConvPointers {
  const void *x, *w, *y;
};

// A way to run a problem, as heuristics name it: cuDNN's number of an engine and its knobs. Means
// something for one version of cuDNN and one kind of device only. Ours are kWinograd, with a
// knob for the images at a time, and kTaps, with one for the parts of a sum.
struct ConvEngine {
  static constexpr int64_t kWinograd = -1, kTaps = -2;
  int64_t index = 0;
  std::vector<std::pair<int64_t, int64_t>> knobs{};  // type and value

  std::string str() const;  // "62 2=4 3=0"
  static std::optional<ConvEngine> parse(const std::string& text);
  bool operator==(const ConvEngine&) const = default;
};

class ConvPlan {
 public:
  ConvPlan(Descriptor plan, ConvEngine engine)
      : plan_(std::move(plan)),
        engine_(std::move(engine)),
        workspace_(plan_->get_int64(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)) {}
  // our own
  ConvPlan(ConvEngine engine, int64_t workspace)
      : engine_(std::move(engine)), workspace_(workspace) {}

  int64_t workspace() const { return workspace_; }  // bytes
  const ConvEngine& engine() const { return engine_; }
  bool is_own() const { return !plan_; }
  // of cuDNN's
  void run(cudnnHandle_t handle, const ConvPointers& at, void* workspace) const;

 private:
  std::optional<Descriptor> plan_;
  ConvEngine engine_;
  int64_t workspace_;
};

// Plans for `device`: our own, then cuDNN's in the order of the heuristics. They fit the limits,
// and compute in the wanted precision (fp32: without tensor cores) and way. None: empty.
std::vector<ConvPlan> conv_plans(const ConvProblem& problem, const Descriptor& device,
                                 const PlanLimits& limits = {});

// The plan of an engine that was chosen before; none where it does not keep the limits, or where
// this cuDNN or this device does not have it.
std::optional<ConvPlan> conv_plan(const ConvProblem& problem, const Descriptor& device,
                                  const ConvEngine& engine, const PlanLimits& limits = {});

}  // namespace expunge::kernels::cudnn
