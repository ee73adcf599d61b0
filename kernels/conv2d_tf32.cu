#include "kernels/async_copy.cuh"
#include "kernels/conv2d_tf32.h"
#include "kernels/mma.cuh"

// sums (K, 9, C) = sum over pixels of dy^T (K, pixels) x (pixels, C), x moved by each of 9 taps. A
// block has 64 channels of each and all taps, in registers: so it reads x and dy once. It goes
// through its part of the images in units of 64 pixels, of which one is on its way while one is
// multiplied: of three, lines of 32 pixels would not fit into the shared memory of 8.0. Its eight
// warps share the channels: two by four, 32 by 16 each.
namespace expunge::kernels::cuda {
namespace {

constexpr int kSide = kTf32Channels, kTaps = 9, kPixels = kTf32Pixels;
constexpr unsigned kWarp = 32, kThreads = 256, kWarpsOfK = 2, kStages = 2;
constexpr int kTilesOfK = 2, kTilesOfC = 2;  // a warp's matrices of 16 and 8 channels
constexpr int kStep = 8;                     // pixels of a product
// Floats between pixels in shared memory: lane 4 g + t reads bank 8 t + g.
constexpr int kPitch = kSide + 8;

// A unit in shared memory: its lines of x with one more on each side, of W + 2 pixels, whose first
// and last are zero; then its pixels of dy.
template <int W>
struct Unit {
  static constexpr int kLines = kPixels / W, kLine = (W + 2) * kPitch, kX = (kLines + 2) * kLine,
                       kFloats = kX + kPixels * kPitch;
};

struct Images {
  int H, C, K;
  const float *x, *dy;
};

// Asks for unit `unit` of all images, of channels from k and c on.
template <int W>
__device__ void ask(const Images& of, unsigned unit, int k, int c, float* to) {
  constexpr int kFours = kSide / 4, kLines = Unit<W>::kLines;
  const unsigned of_image = static_cast<unsigned>(of.H / kLines), image = unit / of_image;
  const int first = static_cast<int>(unit % of_image) * kLines,
            four = static_cast<int>(threadIdx.x) % kFours * 4;
  const float* x = of.x + int64_t{image} * of.H * W * of.C + c + four;
  for (int i = static_cast<int>(threadIdx.x) / kFours; i < (kLines + 2) * W;
       i += static_cast<int>(kThreads) / kFours) {
    const int line = i / W, w = i % W, h = first + line - 1;
    const bool there = h >= 0 && h < of.H;
    copy_16_async(to + line * Unit<W>::kLine + (w + 1) * kPitch + four,
                  x + int64_t{(there ? h : 0) * W + w} * of.C, there);
  }
  const float* dy = of.dy + int64_t{unit} * kPixels * of.K + k + four;
  for (int i = static_cast<int>(threadIdx.x) / kFours; i < kPixels;
       i += static_cast<int>(kThreads) / kFours)
    copy_16_async(to + Unit<W>::kX + i * kPitch + four, dy + int64_t{i} * of.K, true);
}

using Sums = float[kTaps][kTilesOfK][kTilesOfC][4];

// Lane 4 g + t, and the first channels of its warp.
struct Lane {
  int g, t, k, c;
  __device__ Lane() {
    const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    g = static_cast<int>(lane / 4), t = static_cast<int>(lane % 4);
    k = static_cast<int>(warp % kWarpsOfK) * 16 * kTilesOfK;
    c = static_cast<int>(warp / kWarpsOfK) * 8 * kTilesOfC;
  }
};

// Adds the products of a unit, as mma.cuh has its matrices: A (channels of dy, pixels), B (pixels,
// channels of x). Down the lines of x, 8 pixels of each: a line meets up to three of dy.
template <int W>
__device__ void multiply(const float* unit, const Lane& lane, Sums& sums) {
  constexpr int kLines = Unit<W>::kLines;
  const float* x = unit + lane.t * kPitch + lane.c + lane.g;
  const float* dy = unit + Unit<W>::kX + lane.t * kPitch + lane.k + lane.g;
#pragma unroll 1
  for (int w = 0; w < W; w += kStep, x += kStep * kPitch, dy += kStep * kPitch) {
    uint32_t a[kLines][kTilesOfK][4];
    EXPUNGE_UNROLL
    for (int of_x = 0; of_x < kLines + 2; ++of_x) {
      if (of_x < kLines)
        for (int m = 0; m < kTilesOfK; ++m)
          for (int j = 0; j < 2; ++j)
            for (int i = 0; i < 2; ++i)
              a[of_x][m][2 * j + i] = tf32_bits(dy[(of_x * W + 4 * j) * kPitch + 16 * m + 8 * i]);
      for (int column = 0; column < 3; ++column)
        for (int n = 0; n < kTilesOfC; ++n) {
          const float* at = x + of_x * Unit<W>::kLine + column * kPitch + 8 * n;
          const uint32_t b[2] = {tf32_bits(at[0]), tf32_bits(at[4 * kPitch])};
          for (int row = 0; row < 3; ++row) {
            const int line = of_x - row;
            if (line < 0 || line >= kLines) continue;
            for (int m = 0; m < kTilesOfK; ++m)
              mma_16x8<float>(sums[3 * row + column][m][n], a[line][m], b);
          }
        }
    }
  }
}

// blockIdx: part, 64 channels of dy, 64 of x.  sums: (parts, K, 9, C)
template <int W>
__global__ void __launch_bounds__(kThreads, 1)
    conv2d_tf32_kernel(Images of, unsigned units, float* sums) {
  KERNEL_DYN_SHARED(float, shared);  // (kStages, kFloats)
  constexpr int kFloats = Unit<W>::kFloats, kLines = Unit<W>::kLines + 2;
  const int k = static_cast<int>(blockIdx.y) * kSide, c = static_cast<int>(blockIdx.z) * kSide;
  const unsigned begin = blockIdx.x * units / gridDim.x, end = (blockIdx.x + 1) * units / gridDim.x;
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(kStages) * kLines * 2 * kSide;
       i += static_cast<int>(kThreads)) {
    const int line = i / (2 * kSide), edge = i / kSide % 2;
    shared[line / kLines * kFloats + line % kLines * Unit<W>::kLine + edge * (W + 1) * kPitch +
           i % kSide] = 0.0f;
  }
  for (unsigned stage = 0; stage + 1 < kStages; ++stage) {
    if (begin + stage < end) ask<W>(of, begin + stage, k, c, shared + stage * kFloats);
    commit_copies();
  }
  const Lane lane;
  Sums own = {};
  unsigned stage = 0;
  for (unsigned unit = begin; unit < end; ++unit) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // the unit is there, and nobody reads the one before
    const unsigned next = unit + kStages - 1;
    if (next < end) ask<W>(of, next, k, c, shared + (stage + kStages - 1) % kStages * kFloats);
    commit_copies();
    multiply<W>(shared + stage * kFloats, lane, own);
    stage = (stage + 1) % kStages;
  }
  const unsigned row = static_cast<unsigned>(k + lane.k + lane.g);
  float* to = sums + (int64_t{blockIdx.x} * of.K + row) * kTaps * of.C + c + lane.c + 2 * lane.t;
  for (int m = 0; m < kTilesOfK; ++m)
    for (int i = 0; i < 2; ++i) {
      for (int tap = 0; tap < kTaps; ++tap, to += of.C)
        for (int n = 0; n < kTilesOfC; ++n)
          for (int h = 0; h < 2; ++h) to[8 * n + h] = own[tap][m][n][2 * i + h];
      to += int64_t{7 * kTaps} * of.C;  // the eighth row from there
    }
}

template <int W>
void launch_sums(const StreamAt& at, const Conv2dShape& s, int64_t parts, const Images& of,
                 float* sums) {
  const dim3 blocks(static_cast<unsigned>(parts), static_cast<unsigned>(s.K / kSide),
                    static_cast<unsigned>(s.C / kSide));
  launch(conv2d_tf32_kernel<W>, blocks, kThreads, kStages * Unit<W>::kFloats * sizeof(float), at,
         of, static_cast<unsigned>(s.N * s.H * s.W / kPixels), sums);
}

}  // namespace

void conv2d_tf32_sums(Stream stream, const Conv2dShape& s, int64_t parts, const float* x,
                      const float* dy, float* sums) {
  const StreamAt at = stream;
  const Images of{static_cast<int>(s.H), static_cast<int>(s.C), static_cast<int>(s.K), x, dy};
  if (s.W == 8)
    launch_sums<8>(at, s, parts, of, sums);
  else if (s.W == 16)
    launch_sums<16>(at, s, parts, of, sums);
  else
    launch_sums<32>(at, s, parts, of, sums);
}

}  // namespace expunge::kernels::cuda
