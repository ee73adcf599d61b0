#pragma once

#include "core/hd.h"
#include "kernels/launch.h"

namespace expunge::kernels {

// Arrays in one flat buffer that are worked on by the same launches, each by itself: a block takes
// a tile of one of them. Small enough to be an argument.
struct TiledArrays {
  static constexpr int kMost = 64;
  static constexpr unsigned kTile = 4096;  // elements of a block

  struct Array {
    int64_t offset;
    uint32_t size, first_tile;
    EXPUNGE_MEMBER_HD unsigned tiles() const { return size / kTile + (size % kTile != 0); }
  };
  Array of[kMost]{};
  int count = 0;
  unsigned tiles = 0;  // in all

  void add(int64_t offset, int64_t size) {  // size below 2^32
    of[count] = {offset, static_cast<uint32_t>(size), tiles};
    tiles += of[count++].tiles();
  }
};

// What block `block` works on.
struct Tile {
  unsigned array, number;  // number: among the tiles of its array

  __device__ Tile(const TiledArrays& arrays, unsigned block) : array(0) {
    for (unsigned step = TiledArrays::kMost / 2; step > 0; step /= 2)
      if (array + step < static_cast<unsigned>(arrays.count) &&
          arrays.of[array + step].first_tile <= block)
        array += step;
    number = block - arrays.of[array].first_tile;
  }
};

}  // namespace expunge::kernels
