#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace expunge {

// Numbers that a stream finds and the host reads later, while the stream goes on. They are read in
// the order in which they were sent. On the CPU they are there at once.
class LateNumbers {
 public:
  // `count` at a time, of which `most` may be on their way.
  LateNumbers(Stream stream, int64_t count, size_t most);
  ~LateNumbers();
  LateNumbers(const LateNumbers&) = delete;

  // Queues the copy of what `from` (count) will hold.
  void send(const Tensor& from);
  // The oldest; waits for them. Valid until `most` more were sent.
  std::span<const float> take();
  void drop() { taken_ = sent_; }  // all of them
  size_t on_their_way() const { return sent_ - taken_; }

 private:
  struct Page {
    float* numbers = nullptr;  // on a GPU pinned, so that it writes by itself
    void* arrived = nullptr;   // cudaEvent_t
  };
  Page& page(size_t number) { return pages_[number % pages_.size()]; }

  Stream stream_;
  int64_t count_;
  std::vector<float> here_;
  std::vector<Page> pages_;
  size_t sent_ = 0, taken_ = 0;
};

}  // namespace expunge
