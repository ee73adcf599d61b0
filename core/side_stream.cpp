#include "core/side_stream.h"

#include <map>
#include <utility>

#include "core/memory_cuda.h"

namespace expunge {

SideStream& SideStream::of(Stream main) {
  // never destroyed: the driver may be gone before
  static auto& all = *new std::map<void*, SideStream>;
  return all.try_emplace(main.cuda, main).first->second;
}

SideStream::SideStream(Stream main) : main_(main) {
  const auto on_gpu = [&] {
    side_ = cuda_new_stream();
    forked_ = cuda_new_event();
    for (Piece& piece : pieces_) piece.done = cuda_new_event();
  };
  dispatch(
      main, [] { no_cuda_backend(); }, on_gpu);
}

void SideStream::run(Keeps keeps, FunctionRef<void(Stream)> work) {
  on_cuda(main_, [&] {
    if (queued_ - joined_ == kPieces) join_oldest();
    cuda_mark(main_, forked_);
    cuda_wait_for(side_, forked_);
    Piece& next = piece(queued_);
    next.keeps = std::move(keeps);
    {
      const PoolArea::Entered entered(memory_);
      work(side_);
    }
    cuda_mark(side_, next.done);
    ++queued_;
  });
}

void SideStream::join_oldest() {
  on_cuda(main_, [&] {
    Piece& oldest = piece(joined_++);
    cuda_wait_for(main_, oldest.done);
    oldest.keeps = {};
  });
}

void SideStream::join() {
  while (joined_ < queued_) join_oldest();
}

void SideStream::abandon() noexcept {
  on_cuda(main_, [&] { cuda_settle(side_); });
  for (Piece& piece : pieces_) piece.keeps = {};
  joined_ = queued_;
}

}  // namespace expunge
