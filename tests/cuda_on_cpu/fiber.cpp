#include "cuda_on_cpu/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(CUDA_ON_CPU_OWN_SWITCH)
// void cuda_on_cpu_switch(void** save_top, void* top): pushes the registers that a called function
// must keep, and the control words of the floating-point units; changes stacks; pops them.
extern "C" void cuda_on_cpu_switch(void** save_top, void* top);
asm(R"(
.text
.globl cuda_on_cpu_switch
.type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_cpu_switch, .-cuda_on_cpu_switch
)");
#endif

namespace cuda_on_cpu {
namespace {

Fiber* current = nullptr;  // one thread of the program at a time runs kernels

size_t page() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  void* memory = mmap(nullptr, kStackBytes + page(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("cuda_on_cpu: no memory for a stack");
    std::abort();
  }
  mprotect(memory, page(), PROT_NONE);
  stack_ = static_cast<unsigned char*>(memory) + page();
#if defined(CUDA_ON_CPU_ASAN)
  bottom_ = stack_;
  size_ = kStackBytes;
#endif
#if defined(CUDA_ON_CPU_OWN_SWITCH)
  // What cuda_on_cpu_switch pops: control words (their values at program start), six registers,
  // the address to return to; then none, so that start() finds the stack as a call leaves it.
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Fiber::start);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  const uint64_t control = 0x037f'0000'1f80;
  std::memcpy(--top, &control, sizeof control);
  top_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::start, 0);
#endif
}

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_ - page(), kStackBytes + page());
}

void Fiber::start() {
  current->arrived();
  current->entry_();
  std::abort();
}

void Fiber::switch_to(Fiber& to) {
  to.previous_ = this;
  current = &to;
#if defined(CUDA_ON_CPU_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_, to.bottom_, to.size_);
#endif
#if defined(CUDA_ON_CPU_OWN_SWITCH)
  cuda_on_cpu_switch(&top_, to.top_);
#else
  swapcontext(&context_, &to.context_);
#endif
  arrived();
}

// The address sanitizer tells the bounds of the stack that was left: those of the program's own
// stack are not known otherwise.
void Fiber::arrived() {
#if defined(CUDA_ON_CPU_ASAN)
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &size);
  if (previous_->bottom_ == nullptr) previous_->bottom_ = bottom, previous_->size_ = size;
#endif
}

}  // namespace cuda_on_cpu
