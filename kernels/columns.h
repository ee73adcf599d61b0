#pragma once

#include <algorithm>
#include <cstdint>

// How a GPU sums the columns of (rows, C): a block takes some columns and a part of the rows; parts
// are joined afterwards, in order. Where columns alone are blocks enough for a GPU, all rows are
// one part. Fixed by the shape, so that results are.
namespace expunge::kernels {

struct ColumnGrid {
  int64_t rows, C;
  int vector;        // neighbouring columns that a thread takes: `most` where C allows it, else 1
  unsigned threads;  // of a block, over columns; the others, kThreads / threads, are over its rows
  int64_t part;      // rows of a part

  static constexpr unsigned kThreads = 256;
  static constexpr int64_t kRowsOfThread = 8, kMostParts = 512, kManyBlocks = 128;

  ColumnGrid(int64_t rows_of, int64_t columns, int most = 4, int64_t rows_of_thread = kRowsOfThread)
      : rows(rows_of), C(columns), vector(columns % most == 0 ? most : 1), threads(1) {
    while (threads < 32 && threads * vector < C) threads *= 2;
    part = std::max(rows_of_thread * (kThreads / threads), (rows + kMostParts - 1) / kMostParts);
    if (blocks() >= kManyBlocks) part = std::max(part, rows);
  }
  int64_t parts() const { return (rows + part - 1) / part; }
  int64_t blocks() const { return (C + threads * vector - 1) / (threads * vector); }
};

}  // namespace expunge::kernels
