#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace expunge {

// Bump allocation for objects that live until reset(). Chunks are kept, so a second round of the
// same requests allocates nothing. Destructors are the caller's affair.
class Arena {
 public:
  void* allocate(size_t bytes, size_t align) {
    for (;; ++chunk_, used_ = 0) {
      if (chunk_ == chunks_.size())
        chunks_.push_back(std::make_unique<Chunk>(bytes > kChunk ? bytes : kChunk));
      const size_t begin = (used_ + align - 1) / align * align;
      if (begin + bytes > chunks_[chunk_]->size) continue;
      used_ = begin + bytes;
      return chunks_[chunk_]->bytes.get() + begin;
    }
  }
  void reset() { chunk_ = used_ = 0; }

 private:
  static constexpr size_t kChunk = size_t{64} << 10;
  struct Chunk {
    explicit Chunk(size_t n) : bytes(new std::byte[n]), size(n) {}
    std::unique_ptr<std::byte[]> bytes;  // new aligns to 16, enough for anything stored here
    size_t size;
  };
  std::vector<std::unique_ptr<Chunk>> chunks_;
  size_t chunk_ = 0, used_ = 0;
};

}  // namespace expunge
