#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/batch_source.h"
#include "core/work_graph.h"

namespace expunge::nn {

// What a step queues on a GPU, recorded once and launched as a whole from then on
// (core/work_graph.h): the same kernels in the same order, hence the same bits.
class StepRecorder {
 public:
  // Where a batch's images lie, how many they are, and who makes them: fixed by a recording.
  struct Place {
    const void* images = nullptr;
    int64_t n = 0;
    uint64_t maker = 0;  // ImageMaker::number, 0: they are there
    bool operator==(const Place&) const = default;
  };
  static Place place_of(const Batch& batch) {
    return {batch.x.bytes(), batch.size(), batch.maker != nullptr ? batch.maker->number() : 0};
  }
  using Key = std::array<Place, 2>;  // of a step with one batch: the first

  // Does `work`. The first time that batches come to these places it runs: plans are made, memory
  // is taken. The next time it is recorded, unless there is a recording of other places already:
  // then the second time in a row. While they come there it is launched.
  void run(Stream stream, const Key& key, FunctionRef<void()> work);
  // The recording no longer holds: something else has moved.
  void forget() { graph_.reset(); }
  bool has_recorded() const { return graph_ != nullptr; }

 private:
  Key last_, recorded_;
  std::vector<Key> known_;
  std::unique_ptr<WorkGraph> graph_;
};

}  // namespace expunge::nn
