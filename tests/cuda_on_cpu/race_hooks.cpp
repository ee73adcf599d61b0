// The functions that code compiled with -fsanitize=thread calls. Their names and types are the
// compiler's.
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cuda_on_cpu {

void race_access(const void* p, size_t bytes, bool write, bool aligned, const void* code);

}  // namespace cuda_on_cpu

using cuda_on_cpu::race_access;

#define CODE __builtin_return_address(0)
#define ACCESS(n)                           \
  void __tsan_read##n(void* p) {            \
    race_access(p, n, false, true, CODE);   \
  }                                         \
  void __tsan_write##n(void* p) {           \
    race_access(p, n, true, true, CODE);    \
  }                                         \
  void __tsan_unaligned_read##n(void* p) {  \
    race_access(p, n, false, false, CODE);  \
  }                                         \
  void __tsan_unaligned_write##n(void* p) { \
    race_access(p, n, true, false, CODE);   \
  }

// Host code of the same file may use these; kernels do not (language.h). They are not atomic here.
#define ATOMIC(T, bits)                                                                          \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                       \
    return *p;                                                                                   \
  }                                                                                              \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                                    \
    *p = v;                                                                                      \
  }                                                                                              \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                    \
    const T old = *p;                                                                            \
    *p = v;                                                                                      \
    return old;                                                                                  \
  }                                                                                              \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                                   \
    const T old = *p;                                                                            \
    *p = static_cast<T>(old + v);                                                                \
    return old;                                                                                  \
  }                                                                                              \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                                   \
    const T old = *p;                                                                            \
    *p = static_cast<T>(old - v);                                                                \
    return old;                                                                                  \
  }                                                                                              \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T v, int, int) { \
    const bool same = *p == *expected;                                                           \
    if (same) *p = v;                                                                            \
    if (!same) *expected = *p;                                                                   \
    return same;                                                                                 \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_atomic_thread_fence(int) {}

ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* p, size_t n) {
  race_access(p, n, false, false, CODE);
}
void __tsan_write_range(void* p, size_t n) {
  race_access(p, n, true, false, CODE);
}

void* __tsan_memcpy(void* to, const void* from, size_t n) {
  race_access(from, n, false, false, CODE);
  race_access(to, n, true, false, CODE);
  return std::memcpy(to, from, n);
}
void* __tsan_memmove(void* to, const void* from, size_t n) {
  race_access(from, n, false, false, CODE);
  race_access(to, n, true, false, CODE);
  return std::memmove(to, from, n);
}
void* __tsan_memset(void* to, int value, size_t n) {
  race_access(to, n, true, false, CODE);
  return std::memset(to, value, n);
}

ATOMIC(uint8_t, 8)
ATOMIC(uint16_t, 16)
ATOMIC(uint32_t, 32)
ATOMIC(uint64_t, 64)
}
