#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "cuda_on_cpu/capture.h"
#include "cuda_on_cpu/streams.h"

// What is queued in the streams.
struct CUstream_st {
  struct Item {
    uint64_t place;  // among everything ever queued
    std::function<void()> work;
  };
  bool waits_for_default = true;      // and the default stream for it
  cuda_on_cpu::CapturePlace capture;  // while it is captured
  std::deque<Item> queue{};
};

namespace cuda_on_cpu {

using Stream = std::shared_ptr<CUstream_st>;

Stream find(CUstream_st* stream);  // null: the default one
uint64_t last_queued();            // the place of what was queued last
// Everything in the stream up to that place, after what it must wait for.
void run_until(CUstream_st& stream, uint64_t place);

}  // namespace cuda_on_cpu
