#include "nn/step_recorder.h"

#include <utility>

namespace expunge::nn {

void StepRecorder::run(Stream stream, const Key& key, FunctionRef<void()> work) {
  const bool again = key == std::exchange(last_, key);
  if (graph_ == nullptr || key != recorded_) {
    if (!again) return work();
    graph_.reset();
    pool_trim();  // the recorded step has memory of its own
    graph_ = std::make_unique<WorkGraph>(stream, work);
    recorded_ = key;
  }
  graph_->launch();
}

}  // namespace expunge::nn
