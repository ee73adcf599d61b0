#include "nn/step_recorder.h"

#include <algorithm>
#include <utility>

namespace expunge::nn {
namespace {

constexpr size_t kMostKnown = 8;  // places may change with every step

}  // namespace

void StepRecorder::run(Stream stream, const Key& key, FunctionRef<void()> work) {
  const bool again = key == std::exchange(last_, key);
  if (graph_ == nullptr || key != recorded_) {
    const bool known = std::ranges::count(known_, key) > 0;
    if (known_.size() == kMostKnown) known_.erase(known_.begin());
    if (!known) known_.push_back(key);
    if (!(graph_ == nullptr ? known : again)) return work();
    graph_.reset();
    pool_trim();  // the recorded step has memory of its own
    graph_ = std::make_unique<WorkGraph>(stream, work);
    recorded_ = key;
  }
  graph_->launch();
}

}  // namespace expunge::nn
