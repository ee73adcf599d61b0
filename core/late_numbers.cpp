#include "core/late_numbers.h"

#include <algorithm>

#include "core/memory_cuda.h"

namespace expunge {

LateNumbers::LateNumbers(Stream stream, int64_t count, size_t most)
    : stream_(stream),
      count_(count),
      here_(stream.device == Device::cpu ? static_cast<size_t>(count) * most : 0),
      pages_(most) {
  for (size_t i = 0; i < most && !here_.empty(); ++i)
    pages_[i].numbers = here_.data() + i * static_cast<size_t>(count);
  on_cuda(stream, [&] {
    for (Page& page : pages_) {
      page.numbers =
          static_cast<float*>(cuda_allocate_pinned(static_cast<size_t>(count) * sizeof(float)));
      page.arrived = cuda_new_event();
    }
  });
}

LateNumbers::~LateNumbers() {
  on_cuda(stream_, [&] {
    for (const Page& page : pages_) cuda_release_pinned(page.numbers, page.arrived);
  });
}

void LateNumbers::send(const Tensor& from) {
  EXPUNGE_CHECK(from.size() == count_ && on_their_way() < pages_.size(),
                "late numbers: {} where {} are sent, {} of {} pages on their way", from.size(),
                count_, on_their_way(), pages_.size());
  const Page& next = page(sent_++);
  const auto to_page = [&] {  // in the stream's order, after what was dropped
    cuda_queue_download(stream_, next.numbers, from.bytes(),
                        static_cast<size_t>(count_) * sizeof(float));
    cuda_mark(stream_, next.arrived);
  };
  dispatch(
      stream_, [&] { std::ranges::copy(from.span(), next.numbers); }, to_page);
}

std::span<const float> LateNumbers::take() {
  EXPUNGE_CHECK(on_their_way() > 0, "late numbers: none are on their way");
  const Page& oldest = page(taken_++);
  on_cuda(stream_, [&] { cuda_await(oldest.arrived); });
  return {oldest.numbers, static_cast<size_t>(count_)};
}

}  // namespace expunge
