#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "core/check.h"

namespace expunge::test {

enum class Fence : unsigned char { before, behind };

// Floats right behind or right before a page that may be neither read nor written: touching what
// lies beyond ends the program.
class Fenced {
 public:
  Fenced(int64_t floats, Fence fence) : bytes_(static_cast<size_t>(floats) * sizeof(float)) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)),
                 inside = (bytes_ + page - 1) / page * page;
    mapped_ = inside + 2 * page;
    memory_ = static_cast<unsigned char*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPUNGE_CHECK(memory_ != MAP_FAILED, "fenced: no memory for {} floats", floats);
    mprotect(memory_ + page, inside, PROT_READ | PROT_WRITE);
    data_ = memory_ + page + (fence == Fence::behind ? inside - bytes_ : 0);
  }
  Fenced(const float* values, int64_t floats, Fence fence) : Fenced(floats, fence) {
    std::memcpy(data_, values, bytes_);
  }
  ~Fenced() { munmap(memory_, mapped_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  float* data() const { return reinterpret_cast<float*>(data_); }

 private:
  size_t bytes_, mapped_ = 0;
  unsigned char *memory_ = nullptr, *data_ = nullptr;
};

}  // namespace expunge::test
