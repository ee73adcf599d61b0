#pragma once

#include <cstddef>

#include "cuda_on_cpu/asan.h"

#if defined(__x86_64__) && !defined(CUDA_ON_CPU_UCONTEXT)
#define CUDA_ON_CPU_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

namespace cuda_on_cpu {

// A stack of its own and where on it the program stands. Registers are saved by 20 lines of
// assembly on x86-64 (15 times as fast as ucontext, which asks the system twice), elsewhere by
// ucontext.
class Fiber {
 public:
  static constexpr size_t kStackBytes = size_t{256} << 10;  // what is not touched costs nothing

  Fiber() = default;                // the stack this is called on
  explicit Fiber(void (*entry)());  // a new stack; entry must not return
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Goes on where `to` stands; returns when another fiber comes back to this one, which must be the
  // one that runs.
  void switch_to(Fiber& to);

  bool has_on_stack(const void* p) const {
    const auto* byte = static_cast<const unsigned char*>(p);
    return byte >= stack_ && byte < stack_ + kStackBytes;
  }

 private:
  static void start();
  void arrived();

  void (*entry_)() = nullptr;
  unsigned char* stack_ = nullptr;  // its lowest byte, above a page that may not be touched
  Fiber* previous_ = nullptr;       // where the last switch to this one came from
#if defined(CUDA_ON_CPU_OWN_SWITCH)
  void* top_ = nullptr;
#else
  ucontext_t context_{};
#endif
#if defined(CUDA_ON_CPU_ASAN)
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  size_t size_ = 0;
#endif
};

}  // namespace cuda_on_cpu
