#include "kernels/async_copy.cuh"
#include "kernels/conv2d_taps.h"
#include "kernels/mma.cuh"
#include "kernels/vector.cuh"

// sums (K, 9, C) = sum over pixels of dy^T (K, pixels) x (pixels, C), x moved by each of 9 taps. A
// block has 64 channels of each and all taps, in registers: so it reads x and dy once. It goes
// through its part of the images in units of 64 pixels, of which some are on their way while one is
// multiplied. Its eight warps share the channels: two by four, 32 by 16 each.
namespace expunge::kernels::cuda {
namespace {

constexpr int kSide = kTapsChannels, kTaps = 9, kPixels = kTapsPixels;
constexpr unsigned kWarp = 32, kThreads = 256, kWarpsOfK = 2;
constexpr int kTilesOfK = 2, kTilesOfC = 2;  // a warp's matrices of 16 and 8 channels
// Numbers between pixels in shared memory: then 4 pixels by 8 numbers of f32, and 8 pixels by 16
// bytes, lie in different banks.
constexpr int kPitch = kSide + 8;
// Units in shared memory: three of f32 in lines of 32 pixels would not fit into that of 8.0.
template <class T>
constexpr unsigned kStages = sizeof(T) == sizeof(float) ? 2 : 3;

// A unit in shared memory: its lines of x with one more on each side, of W + 2 pixels, whose first
// and last are zero; then its pixels of dy.
template <class T, int W>
struct Unit {
  static constexpr int kLines = kPixels / W, kLine = (W + 2) * kPitch, kX = (kLines + 2) * kLine,
                       kNumbers = kX + kPixels * kPitch;
};

template <class T>
struct Images {
  int H, C, K;
  const T *x, *dy;
};

// Asks for unit `unit` of all images, of channels from k and c on.
template <class T, int W>
__device__ void ask(const Images<T>& of, unsigned unit, int k, int c, T* to) {
  constexpr int kVectors = kSide / kVector<T>, kLines = Unit<T, W>::kLines;
  const unsigned of_image = static_cast<unsigned>(of.H / kLines), image = unit / of_image;
  const int first = static_cast<int>(unit % of_image) * kLines,
            channel = static_cast<int>(threadIdx.x) % kVectors * kVector<T>;
  const T* x = of.x + int64_t{image} * of.H * W * of.C + c + channel;
  for (int i = static_cast<int>(threadIdx.x) / kVectors; i < (kLines + 2) * W;
       i += static_cast<int>(kThreads) / kVectors) {
    const int line = i / W, w = i % W, h = first + line - 1;
    const bool there = h >= 0 && h < of.H;
    copy_16_async(to + line * Unit<T, W>::kLine + (w + 1) * kPitch + channel,
                  x + int64_t{(there ? h : 0) * W + w} * of.C, there);
  }
  const T* dy = of.dy + int64_t{unit} * kPixels * of.K + k + channel;
  for (int i = static_cast<int>(threadIdx.x) / kVectors; i < kPixels;
       i += static_cast<int>(kThreads) / kVectors)
    copy_16_async(to + Unit<T, W>::kX + i * kPitch + channel, dy + int64_t{i} * of.K, true);
}

using Sums = float[kTaps][kTilesOfK][kTilesOfC][4];

// Lane 4 g + t, and the first channels of its warp.
struct Lane {
  int number, g, t, k, c;
  __device__ Lane() {
    const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    number = static_cast<int>(lane);
    g = number / 4, t = number % 4;
    k = static_cast<int>(warp % kWarpsOfK) * 16 * kTilesOfK;
    c = static_cast<int>(warp / kWarpsOfK) * 8 * kTilesOfC;
  }
};

// What a warp multiplies at once, as mma.cuh has its matrices: A (channels of dy, pixels), B
// (pixels, channels of x). In tf32 8 pixels, number by number.
template <class T, int W>
struct Step {
  static constexpr int kPixelsOfStep = 8;
  const T *x, *dy;  // of the lane, in line 0

  __device__ Step(const T* unit, const Lane& lane)
      : x(unit + lane.t * kPitch + lane.c + lane.g),
        dy(unit + Unit<T, W>::kX + lane.t * kPitch + lane.k + lane.g) {}
  __device__ void load_a(int line, uint32_t (&a)[kTilesOfK][4]) const {
    for (int m = 0; m < kTilesOfK; ++m)
      for (int j = 0; j < 2; ++j)
        for (int i = 0; i < 2; ++i)
          a[m][2 * j + i] = tf32_bits(dy[(line * W + 4 * j) * kPitch + 16 * m + 8 * i]);
  }
  __device__ void load_b(int line, int column, uint32_t (&b)[kTilesOfC][2]) const {
    for (int n = 0; n < kTilesOfC; ++n)
      for (int j = 0; j < 2; ++j)
        b[n][j] = tf32_bits(x[line * Unit<T, W>::kLine + (column + 4 * j) * kPitch + 8 * n]);
  }
};

// In 16 bits 16 pixels, which may be two lines: matrices of 8 x 8 that come transposed, a pixel's 8
// channels from each lane. Matrix q of the four: pixels 8 j on and channels 8 i on with q = 2 j + i
// (A), or q = 2 i + j (B).
template <class T, int W>
requires(sizeof(T) == 2) struct Step<T, W> {
  static constexpr int kPixelsOfStep = 16;
  const T *x, *dy;

  __device__ Step(const T* unit, const Lane& lane) {
    const int q = lane.number / 8, p = lane.number % 8, of_a = 8 * (q / 2) + p,
              of_b = 8 * (q % 2) + p;
    dy = unit + Unit<T, W>::kX + of_a * kPitch + lane.k + 8 * (q % 2);
    x = unit + of_b / W * Unit<T, W>::kLine + of_b % W * kPitch + lane.c + 8 * (q / 2);
  }
  __device__ void load_a(int line, uint32_t (&a)[kTilesOfK][4]) const {
    for (int m = 0; m < kTilesOfK; ++m) load_transposed(a[m], dy + line * W * kPitch + 16 * m);
  }
  __device__ void load_b(int line, int column, uint32_t (&b)[kTilesOfC][2]) const {
    uint32_t both[2 * kTilesOfC];
    load_transposed(both, x + line * Unit<T, W>::kLine + column * kPitch);
    for (int n = 0; n < kTilesOfC; ++n)
      for (int j = 0; j < 2; ++j) b[n][j] = both[2 * n + j];
  }
};

// Adds the products of a unit: down the lines of x, the pixels of a step of each; a line meets up
// to three of dy.
template <class T, int W>
__device__ void multiply(const T* unit, const Lane& lane, Sums& sums) {
  using Of = Step<T, W>;
  constexpr int kLines = Unit<T, W>::kLines,
                kColumns = Of::kPixelsOfStep < W ? Of::kPixelsOfStep : W,
                kLinesOfStep = Of::kPixelsOfStep / kColumns;
  Of step(unit, lane);
#pragma unroll 1
  for (int w = 0; w < W; w += kColumns) {
    uint32_t a[kLines][kTilesOfK][4];
    EXPUNGE_UNROLL
    for (int of_x = 0; of_x <= kLines - kLinesOfStep + 2; ++of_x) {
      if (of_x < kLines && of_x % kLinesOfStep == 0) step.load_a(of_x, a[of_x]);
      for (int column = 0; column < 3; ++column) {
        uint32_t b[kTilesOfC][2];
        step.load_b(of_x, column, b);
        for (int row = 0; row < 3; ++row) {
          const int line = of_x - row;
          if (line < 0 || line >= kLines || line % kLinesOfStep != 0) continue;
          for (int n = 0; n < kTilesOfC; ++n)
            for (int m = 0; m < kTilesOfK; ++m)
              mma_16x8<T>(sums[3 * row + column][m][n], a[line][m], b[n]);
        }
      }
    }
    step.x += kColumns * kPitch;
    step.dy += kColumns * kPitch;
  }
}

// blockIdx: part, 64 channels of dy, 64 of x.  sums: (parts, K, 9, C)
template <class T, int W>
__global__ void __launch_bounds__(kThreads, 1)
    conv2d_taps_kernel(Images<T> of, unsigned units, float* sums) {
  start_kernel();
  KERNEL_DYN_SHARED(T, shared);  // (kStages, kNumbers)
  constexpr int kNumbers = Unit<T, W>::kNumbers, kLines = Unit<T, W>::kLines + 2;
  constexpr unsigned kAll = kStages<T>;
  const int k = static_cast<int>(blockIdx.y) * kSide, c = static_cast<int>(blockIdx.z) * kSide;
  const unsigned begin = blockIdx.x * units / gridDim.x, end = (blockIdx.x + 1) * units / gridDim.x;
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(kAll) * kLines * 2 * kSide;
       i += static_cast<int>(kThreads)) {
    const int line = i / (2 * kSide), edge = i / kSide % 2;
    shared[line / kLines * kNumbers + line % kLines * Unit<T, W>::kLine + edge * (W + 1) * kPitch +
           i % kSide] = from_float<T>(0.0f);
  }
  for (unsigned stage = 0; stage + 1 < kAll; ++stage) {
    if (begin + stage < end) ask<T, W>(of, begin + stage, k, c, shared + stage * kNumbers);
    commit_copies();
  }
  const Lane lane;
  Sums own = {};
  unsigned stage = 0;
  for (unsigned unit = begin; unit < end; ++unit) {
    wait_for_copies<kAll - 2>();
    __syncthreads();  // the unit is there, and nobody reads the one before
    const unsigned next = unit + kAll - 1;
    if (next < end) ask<T, W>(of, next, k, c, shared + (stage + kAll - 1) % kAll * kNumbers);
    commit_copies();
    multiply<T, W>(shared + stage * kNumbers, lane, own);
    stage = (stage + 1) % kAll;
  }
  const unsigned row = static_cast<unsigned>(k + lane.k + lane.g);
  float* to = sums + (int64_t{blockIdx.x} * of.K + row) * kTaps * of.C + c + lane.c + 2 * lane.t;
  for (int m = 0; m < kTilesOfK; ++m)
    for (int i = 0; i < 2; ++i) {
      for (int tap = 0; tap < kTaps; ++tap, to += of.C)
        for (int n = 0; n < kTilesOfC; ++n) {
          const auto& sum =
              own[tap][m][n];  // a pair of registers: store() would move it, and spill
          *reinterpret_cast<Packed<2, float>*>(to + 8 * n) = {sum[2 * i], sum[2 * i + 1]};
        }
      to += int64_t{7 * kTaps} * of.C;  // the eighth row from there
    }
}

template <int W, class T>
void launch_sums(const StreamAt& at, const TapsWork& work, const Images<T>& of) {
  const Conv2dShape& s = work.shape;
  const dim3 blocks(static_cast<unsigned>(work.parts), static_cast<unsigned>(s.K / kSide),
                    static_cast<unsigned>(s.C / kSide));
  launch(conv2d_taps_kernel<T, W>, blocks, kThreads, kStages<T> * Unit<T, W>::kNumbers * sizeof(T),
         at, of, static_cast<unsigned>(s.N * s.H * s.W / kPixels), work.sums);
}

}  // namespace

void conv2d_taps_sums(Stream stream, const TapsWork& work, ConstValues x, ConstValues dy) {
  const StreamAt at = stream;
  const Conv2dShape& s = work.shape;
  of_type(x.type, [&]<class T>(T) {
    const Images<T> of{static_cast<int>(s.H), static_cast<int>(s.C), static_cast<int>(s.K),
                       x.as<T>(), dy.as<T>()};
    if (s.W == 8)
      launch_sums<8>(at, work, of);
    else if (s.W == 16)
      launch_sums<16>(at, work, of);
    else
      launch_sums<32>(at, work, of);
  });
}

}  // namespace expunge::kernels::cuda
