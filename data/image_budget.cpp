#include "data/image_budget.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace expunge::data {

struct alignas(std::max_align_t) ImageBudget::Piece {
  Piece *previous, *next;
  size_t bytes;
};

thread_local ImageBudget* ImageBudget::current_ = nullptr;

ImageBudget::ImageBudget(size_t bytes) : left_(bytes) {
  EXPUNGE_CHECK(current_ == nullptr, "image: two budgets on one thread");
  current_ = this;
}

ImageBudget::~ImageBudget() {
  while (pieces_ != nullptr) std::free(std::exchange(pieces_, pieces_->next));
  current_ = nullptr;
}

void* ImageBudget::allocate(size_t bytes) {
  ImageBudget* budget = current_;
  if (budget == nullptr || bytes > budget->left_) return nullptr;
  auto* piece = static_cast<Piece*>(std::calloc(1, sizeof(Piece) + bytes));
  if (piece == nullptr) return nullptr;
  *piece = {nullptr, budget->pieces_, bytes};
  if (piece->next != nullptr) piece->next->previous = piece;
  budget->pieces_ = piece;
  budget->left_ -= bytes;
  return piece + 1;
}

void* ImageBudget::reallocate(void* old, size_t bytes) {
  void* moved = allocate(bytes);
  if (moved == nullptr || old == nullptr) return moved;
  std::memcpy(moved, old, std::min(bytes, (static_cast<Piece*>(old) - 1)->bytes));
  release(old);
  return moved;
}

void ImageBudget::release(void* bytes) {
  if (bytes == nullptr) return;
  Piece* piece = static_cast<Piece*>(bytes) - 1;
  (piece->previous != nullptr ? piece->previous->next : current_->pieces_) = piece->next;
  if (piece->next != nullptr) piece->next->previous = piece->previous;
  current_->left_ += piece->bytes;
  std::free(piece);
}

}  // namespace expunge::data
