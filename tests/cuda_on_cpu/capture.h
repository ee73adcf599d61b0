#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace cuda_on_cpu {

// Work of streams that was captured, each piece with those that it comes after.
class Captured {
 public:
  using Work = std::function<void()>;
  using Places = std::vector<size_t>;

  size_t add(Work work, Places after);
  void close(Places end) { closed_ = true, end_ = std::move(end); }
  bool closed() const { return closed_; }
  // As it was queued; and each piece of a forked stream only where somebody waits for it, so that
  // what nobody waits for comes too late.
  std::vector<Work> as_captured() const;
  std::vector<Work> as_late_as_may_be() const;
  // `end` and all that comes before, in an order that may be.
  Places up_to(const Places& end) const;

 private:
  struct Piece {
    Work work;
    Places after;  // its own stream's first
  };
  std::vector<Piece> pieces_;
  Places end_;  // what all the rest comes before
  bool closed_ = false;
};

// Where a stream stands in a capture, or an event that was recorded there; or in none.
class CapturePlace {
 public:
  explicit operator bool() const { return capture_ != nullptr; }
  void begin() { capture_ = std::make_shared<Captured>(), last_.clear(); }
  void add(Captured::Work work) { last_ = {capture_->add(std::move(work), last_)}; }
  // What is added next comes after the event too.
  void join(const CapturePlace& event);
  bool is_of(const CapturePlace& other) const { return capture_ == other.capture_; }
  bool comes_before(const CapturePlace& end) const;
  const Captured& end() const;  // the whole capture, which is over

 private:
  std::shared_ptr<Captured> capture_;
  Captured::Places last_;
};

}  // namespace cuda_on_cpu
