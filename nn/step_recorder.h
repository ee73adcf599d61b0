#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "core/batch_source.h"
#include "core/work_graph.h"

namespace expunge::nn {

// What a step queues on a GPU, recorded once and launched as a whole from then on
// (core/work_graph.h): the same kernels in the same order, hence the same bits.
class StepRecorder {
 public:
  // Where a batch's images lie, and how many they are: fixed by a recording.
  struct Place {
    const void* images = nullptr;
    int64_t n = 0;
    bool operator==(const Place&) const = default;
  };
  static Place place_of(const Batch& batch) { return {batch.x.bytes(), batch.size()}; }
  using Key = std::array<Place, 2>;  // of a step with one batch: the first

  // Does `work`. The first time that batches come to these places it runs: plans are made, memory
  // is taken. The second time in a row it is recorded; while they come there, launched.
  void run(Stream stream, const Key& key, FunctionRef<void()> work);
  // The recording no longer holds: something else has moved.
  void forget() { graph_.reset(); }
  bool has_recorded() const { return graph_ != nullptr; }

 private:
  Key last_, recorded_;
  std::unique_ptr<WorkGraph> graph_;
};

}  // namespace expunge::nn
