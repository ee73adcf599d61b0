#include "cuda_on_cpu/capture.h"

#include <algorithm>
#include <utility>

#include "cuda_on_cpu/report.h"

namespace cuda_on_cpu {

size_t Captured::add(Work work, Places after) {
  pieces_.push_back({std::move(work), std::move(after)});
  return pieces_.size() - 1;
}

std::vector<Captured::Work> Captured::as_captured() const {
  std::vector<Work> all;
  for (const Piece& piece : pieces_) all.push_back(piece.work);
  return all;
}

// A piece follows when all that it comes after has been visited: its own stream's work first, what
// it waits for in others last.
Captured::Places Captured::up_to(const Places& end) const {
  struct Visit {
    size_t piece, next = 0;  // next: of what it comes after
  };
  std::vector<bool> seen(pieces_.size());
  std::vector<Visit> path;
  Places order;
  const auto visit = [&](size_t piece) {
    if (!seen[piece]) path.push_back({piece}), seen[piece] = true;
  };
  for (const size_t last : end) {
    visit(last);
    while (!path.empty()) {
      Visit& here = path.back();
      const Places& after = pieces_[here.piece].after;
      if (here.next < after.size()) {
        visit(after[here.next++]);
      } else {
        order.push_back(here.piece);
        path.pop_back();
      }
    }
  }
  return order;
}

std::vector<Captured::Work> Captured::as_late_as_may_be() const {
  std::vector<Work> all;
  for (const size_t piece : up_to(end_)) all.push_back(pieces_[piece].work);
  return all;
}

void CapturePlace::join(const CapturePlace& event) {
  if (event.capture_->closed()) die("an event of a capture that is over is waited for");
  if (capture_ == nullptr) capture_ = event.capture_;
  if (!is_of(event)) die("a stream that is captured waits for an event of another capture");
  for (const size_t piece : event.last_)
    if (std::ranges::count(last_, piece) == 0) last_.push_back(piece);
}

const Captured& CapturePlace::end() const {
  capture_->close(last_);
  return *capture_;
}

bool CapturePlace::comes_before(const CapturePlace& end) const {
  const Captured::Places before = capture_->up_to(end.last_);
  return std::ranges::all_of(last_,
                             [&](size_t piece) { return std::ranges::count(before, piece) > 0; });
}

}  // namespace cuda_on_cpu
