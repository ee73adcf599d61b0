#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/conv_plan_cudnn.h"

namespace expunge::kernels::cudnn {

// The plan of every convolution that was asked for: the fastest of those that heuristics propose,
// measured once and written down, since noise in timing would choose other engines, hence other
// rounding, in another run. Heuristics put some 60 plans for tensor cores in an order that says
// little of the first ones: all are looked at briefly, and the best again. A file a version of
// cuDNN and a device:
//   expunge-conv-plans-3 <cuDNN's version> <device's name>
//   <problem><tab><engine>
class ConvPlanBook {
 public:
  // Milliseconds of the fastest of so many runs of each of these plans; infinity for one that will
  // not run, kNoRoom for one that wants more memory than there is just now.
  static constexpr double kNoRoom = -1;
  using Plans = std::vector<const ConvPlan*>;
  using Timer = std::function<std::vector<double>(const ConvProblem&, const Plans&, int runs)>;

  // file: empty keeps nothing on disk. A file that is of another device or version, or cannot be
  // read, is as good as none, and is written anew. Processes that share it measure in turn
  // (`file`.lock), and a problem once.
  ConvPlanBook(Descriptor device, std::string device_name, std::filesystem::path file, Timer timer,
               const PlanLimits& limits = {});

  // No engine can do it: ExitCode::device names the problem; none has the memory it wants:
  // ExitCode::memory. A choice that some had no room for holds for this process alone.
  const ConvPlan& at(const ConvProblem& problem);
  int64_t measured() const { return measured_; }  // problems so far that no file had the answer to

 private:
  void read();         // what is known already stays
  void write() const;  // what cannot be written is not kept: the next run measures again
  std::optional<ConvPlan> known(const ConvProblem& problem) const;
  ConvPlan find(const ConvProblem& problem);
  struct Choice {
    size_t plan;
    bool is_final = true;  // all that were proposed had room
  };
  Choice fastest(const ConvProblem& problem, const std::vector<ConvPlan>& plans) const;

  Descriptor device_;
  std::string title_;
  std::filesystem::path file_;
  Timer timer_;
  PlanLimits limits_;
  std::map<std::string, ConvEngine> known_;  // by ConvProblem::str()
  std::map<std::string, ConvPlan> plans_;
  int64_t measured_ = 0;
};

// $XDG_CACHE_HOME or ~/.cache, then expunge/conv-plans.txt; empty where there is neither.
std::filesystem::path conv_plan_file();

}  // namespace expunge::kernels::cudnn
