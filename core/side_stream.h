#pragma once

#include <array>
#include <cstddef>

#include "core/device.h"
#include "core/function_ref.h"
#include "core/memory.h"
#include "core/tensor.h"

namespace expunge {

// A second stream of a GPU, for work that nothing needs before long: it runs beside what the main
// stream does next, forked from it and joined to it by events, also while that is recorded
// (core/work_graph.h).
class SideStream {
 public:
  // The one beside `main`, made at its first use.
  static SideStream& of(Stream main);
  explicit SideStream(Stream main);  // for that
  SideStream(const SideStream&) = delete;

  // Queues work(stream) after all that the main stream has been given. What it reads, and what it
  // writes unless that stays anyway, goes into `keeps`: those blocks are not given to anybody else
  // before the main stream has waited. What it makes itself is from memory of this stream's own,
  // which needs no such care, and which stays its own.
  using Keeps = std::array<Tensor, 3>;
  void run(Keeps keeps, FunctionRef<void(Stream)> work);
  // What the main stream is given next comes after all of it.
  void join();
  // After an error, when nobody may have joined: waits for all of it here.
  void abandon() noexcept;

 private:
  // The main stream is never further ahead than this: it is memory that is kept.
  static constexpr size_t kPieces = 2;
  struct Piece {
    Keeps keeps;
    void* done = nullptr;  // cudaEvent_t
  };
  Piece& piece(size_t number) { return pieces_[number % kPieces]; }
  void join_oldest();

  Stream main_, side_;
  PoolArea memory_;
  void* forked_ = nullptr;  // cudaEvent_t
  std::array<Piece, kPieces> pieces_;
  size_t queued_ = 0, joined_ = 0;  // so far
};

}  // namespace expunge
