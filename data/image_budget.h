#pragma once

#include <cstddef>

namespace expunge::data {

// What the decoder may allocate on this thread while this object lives. Memory is zeroed (stb_image
// 2.27 reads uninitialised tables on crafted JPEGs); a request beyond the budget gets null, which
// stb reports; whatever a failed decode left behind is freed at the end.
class ImageBudget {
 public:
  explicit ImageBudget(size_t bytes);
  ~ImageBudget();
  ImageBudget(const ImageBudget&) = delete;
  ImageBudget& operator=(const ImageBudget&) = delete;

  static void* allocate(size_t bytes);
  static void* reallocate(void* old, size_t bytes);
  static void release(void* bytes);

 private:
  struct Piece;
  Piece* pieces_ = nullptr;  // doubly linked
  size_t left_;
  static thread_local ImageBudget* current_;
};

}  // namespace expunge::data
