#pragma once

#include <cstdint>

#include "core/device.h"

// Kernels that are right, each for a part of the language.
namespace expunge::test {

constexpr int kSumThreads = 128;

// out (blocks, kSumThreads): every thread of a block has the sum of its row of x, twice over.
void block_sums(Stream stream, int blocks, const float* x, float* out);

// y = softmax of each row of x (rows, columns) from its end to its start, a warp a row
void softmax_rows(Stream stream, int rows, int columns, const float* x, float* y);

// What each way of shuffling brings to lane i that brings i, in segments of `width`: out (32, 4) of
// from lane 3, xor 5, down 2, up 3.
void shuffles(Stream stream, int width, int* out);
// out (32): lanes of the first half add up eight of theirs, the others double, then all of them
// change places with their mirror image
void half_warps(Stream stream, double* out);
// out (3): ballot, any, all of [lane % 3 == 0]
void votes(Stream stream, uint32_t* out);

// d (32, 4) = a (32, 4) times b (32, 2), on top of what is there: fragments, a lane after the other
// (kernels/mma.cuh), of bf16 or, as tf32, float
void matrix_product(Stream stream, bool tf32, const uint32_t* a, const uint32_t* b, float* d);

// y (4, 32): of x (4, 32, 4) the first of four, each row backwards, while the next row is copied
// (kernels/async_copy.cuh); of rows 2 and 3 nothing is there, and x may be (2, 32, 4)
void copied_ahead(Stream stream, const float* x, float* y);

// d (32, 4): four matrices of 8 x 8 numbers of 16 bits, transposed (kernels/mma.cuh)
void transposed_matrices(Stream stream, const uint16_t* rows, uint32_t* d);

// counts (10): how many of n values have this remainder; totals (3): sum, maximum, or of the values
void count_remainders(Stream stream, int n, const int* x, int* counts, int* totals);

// out: the place of thread i of the grid, its six indices as digits
void places(Stream stream, uint64_t* out);

// x = 2 x + 1, n values of which each thread has several; the kernel changes its arguments.
void twice_and_one(Stream stream, int n, float* x, int launches);

// out (blocks, 1024): each thread's left neighbour after so many turns round the block
void turns(Stream stream, int blocks, int times, int* out);

// y = x^2, 64 values, with a barrier that is not needed (redundant.cu)
void squares(Stream stream, const float* x, float* y);

}  // namespace expunge::test
