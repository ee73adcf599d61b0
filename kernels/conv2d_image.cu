#include <algorithm>

#include "kernels/conv2d_image.h"
#include "kernels/mma.cuh"
#include "kernels/reduce.h"
#include "kernels/vector.cuh"

// Matrices of 16 pixels: each warp takes some, with 64 output channels or 32, and builds what
// tensor cores take in its registers, straight from the images: a pixel's inputs under a row of the
// kernel lie side by side.
namespace expunge::kernels::cuda {
namespace {

constexpr int kRow = 9, kTaps = 27;  // weights of an output channel: under a row, and in all
constexpr int kPixels = 16;          // of a matrix
constexpr unsigned kWarp = 32, kWarps = 4, kThreads = kWarps * kWarp;
// Of a multiprocessor, at least: at most 128 and 168 registers, which take all loads of a matrix.
constexpr int kForwardBlocks = 4, kWeightsBlocks = 3;

// Lane 4 g + t of its warp.
struct Lane {
  unsigned number, g, t;
  __device__ Lane() : number(threadIdx.x % kWarp), g(number / 4), t(number % 4) {}
};

struct Pixel {
  unsigned at, h, w;
};

// A place in a pixel's window of 3 x 3 pixels: which row and column it wants of the window, a bit
// each, and how far from the pixel its number lies.
struct Tap {
  int offset;
  unsigned wants;
};
constexpr unsigned kColumns = 3, kNever = 1u << 6;  // bits of columns, and one that no window has

// What there is of a pixel's window, and where the pixel is.
struct Window {
  const float* at;
  unsigned has;
  // 0 beyond the image. Loads something in any case: loads behind branches wait for them.
  __device__ float under(const Tap& tap) const {
    const bool inside = (has & tap.wants) == tap.wants;
    const float x = at[inside ? tap.offset : 0];
    return inside ? x : 0.0f;
  }
};

struct Images {
  unsigned H, W, pixels;  // of all
  const float* x;         // (pixels, 3)

  __device__ Pixel pixel(unsigned at) const { return {at, at / W % H, at % W}; }
  __device__ Pixel behind(const Pixel& p) const {
    const bool ends = p.w + 1 == W;
    return {p.at + 1, !ends ? p.h : p.h + 1 == H ? 0 : p.h + 1, ends ? 0 : p.w + 1};
  }
  __device__ bool has(const Pixel& p) const { return p.at < pixels; }
  __device__ Window window(const Pixel& p) const {
    const unsigned rows = (p.h > 0 ? 1 : 0) | 2 | (p.h + 1 < H ? 4 : 0),
                   columns = (p.w > 0 ? 1 : 0) | 2 | (p.w + 1 < W ? 4 : 0);
    return {x + (has(p) ? 3 * p.at : 0), has(p) ? rows | columns << kColumns : 0};
  }
  // Number `number` under row `row` of the kernel.
  __device__ Tap tap(int row, int number) const {
    return {3 * (row - 1) * static_cast<int>(W) + number - 3,
            1u << row | 1u << (kColumns + static_cast<unsigned>(number) / 3)};
  }
};

// Forward: y (16 pixels, 8 channels of each tile) = inputs (16, 32) weights (32, 8). Of the 32
// inputs, 27 and five zeros, a lane has eight: those of row t but the last, or the three that are
// last in their row.
constexpr int kInputs = 8;
struct Input {
  int row, number;
  bool any;
  __device__ Input(unsigned t, int k)
      : row(t < 3 ? static_cast<int>(t) : k), number(t < 3 ? k : kRow - 1), any(t < 3 || k < 3) {}
  __device__ float weight(const float* of_channel) const {
    return any ? of_channel[row * kRow + number] : 0.0f;
  }
};

// The channel that a tile's column stands for: so chosen that what a lane has of columns 2 t and
// 2 t + 1 of kStored tiles is a vector, and those of the four t lie side by side.
template <class T>
inline constexpr int kStored = kVector<T> / 2;
template <class T>
__device__ int channel_of(unsigned column, int tile) {
  constexpr int kTiles = kStored<T>;
  return tile / kTiles * 8 * kTiles + static_cast<int>(column / 2) * 2 * kTiles +
         tile % kTiles * 2 + static_cast<int>(column % 2);
}

// By words: of 16-bit numbers nvcc would store some one by one.
template <class T>
__device__ void store_vector(T* to, const float (&numbers)[kVector<T>]) {
  if constexpr (kNumbers<T> == 2) {
    Packed<kAccess / sizeof(uint32_t), uint32_t> words;
    for (int k = 0; k < static_cast<int>(kAccess / sizeof(uint32_t)); ++k)
      words.v[k] = word_of<T>(numbers + 2 * k);
    *reinterpret_cast<decltype(words)*>(to) = words;
  } else {
    Floats<kVector<T>> all;
    for (int k = 0; k < kVector<T>; ++k) all.v[k] = numbers[k];
    store(to, all);
  }
}

template <class T, int kTiles>
__global__ void __launch_bounds__(kThreads, kForwardBlocks)
    conv2d_image_kernel(Images images, int K, unsigned matrices, const float* w, const float* bias,
                        T* y) {
  start_kernel();
  constexpr int kWords = kInputs / kNumbers<T>, kSteps = kWords / 2, kChannels = 8 * kTiles;
  KERNEL_SHARED(uint32_t, weights, kTiles * kWords * kWarp);  // by tile, word and lane
  KERNEL_SHARED(float, added, kChannels);                     // bias
  const Lane lane;
  const int first = static_cast<int>(blockIdx.y) * kChannels;
  for (unsigned i = threadIdx.x; i < kTiles * kWords * kWarp; i += kThreads) {
    const unsigned at = i % kWarp;
    const int word = static_cast<int>(i / kWarp) % kWords,
              tile = static_cast<int>(i / kWarp) / kWords;
    const float* of = w + (first + channel_of<T>(at / 4, tile)) * kTaps;
    float numbers[kNumbers<T>];
    for (int h = 0; h < kNumbers<T>; ++h)
      numbers[h] = Input(at % 4, kNumbers<T> * word + h).weight(of);
    weights[i] = word_of<T>(numbers);
  }
  if (threadIdx.x < kChannels)
    added[threadIdx.x] = bias != nullptr ? bias[first + static_cast<int>(threadIdx.x)] : 0.0f;
  __syncthreads();
  uint32_t b[kTiles][kSteps][2];
  for (int n = 0; n < kTiles; ++n)
    for (int k = 0; k < kWords; ++k)
      b[n][k / 2][k % 2] = weights[static_cast<unsigned>(n * kWords + k) * kWarp + lane.number];

  Tap taps[kInputs];
  for (int k = 0; k < kInputs; ++k) {
    const Input input(lane.t, k);
    taps[k] = input.any ? images.tap(input.row, input.number) : Tap{0, kNever};
  }
  const unsigned warp = blockIdx.x * kWarps + threadIdx.x / kWarp;
  for (unsigned m = warp * matrices; m < (warp + 1) * matrices; ++m) {
    const Pixel p[2] = {images.pixel(m * kPixels + lane.g), images.pixel(m * kPixels + lane.g + 8)};
    float x[2][kInputs];
    for (int i = 0; i < 2; ++i)
      for (int k = 0; k < kInputs; ++k) x[i][k] = images.window(p[i]).under(taps[k]);
    float d[kTiles][4] = {};
    for (int step = 0; step < kSteps; ++step) {
      uint32_t a[4];
      for (int j = 0; j < 2; ++j)
        for (int i = 0; i < 2; ++i) a[2 * j + i] = word_of<T>(x[i] + kNumbers<T> * (2 * step + j));
      for (int n = 0; n < kTiles; ++n) mma_16x8<T>(d[n], a, b[n][step]);
    }
    for (int i = 0; i < 2; ++i) {
      if (!images.has(p[i])) continue;
      T* to = y + static_cast<int64_t>(p[i].at) * K + first;
      for (int tile = 0; tile < kTiles; tile += kStored<T>) {
        const int channel = channel_of<T>(2 * lane.t, tile);
        float sums[kVector<T>];
        for (int c = 0; c < kVector<T>; ++c)
          sums[c] = d[tile + c / 2][2 * i + c % 2] + added[channel + c];
        store_vector(to + channel, sums);
      }
    }
  }
}

// Gradient of the weights: dw (16 channels of each tile, 8 of each of four groups of weights) = sum
// over matrices of dy^T (16, 16 pixels) inputs (16 pixels, 8). A lane has four pixels, of each the
// g-th share of the channels and weights 4 g to 4 g + 3. Warps of a block take matrices in turn,
// and add up; sums of blocks are added afterwards, in order.
constexpr int kFours = 4;  // weights of a lane: 27 of all, and five that are left out

// Its share of a pixel's channels, as words.
template <class T, int kTiles>
using Share = Packed<2 * kTiles / kNumbers<T>, uint32_t>;

// Channel 2 tile + i of the share, of the pixels that make word `word` of a lane's four.
template <class T, int kTiles>
__device__ uint32_t word_of_pixels(const Share<T, kTiles> (&pixels)[4], int word, int tile, int i) {
  if constexpr (kNumbers<T> == 2) {
    const uint32_t low = pixels[2 * word].v[tile], high = pixels[2 * word + 1].v[tile];
    return i == 0 ? (low & 0xffffu) | high << 16 : low >> 16 | (high & 0xffff0000u);
  } else {
    return tf32_bits(math::float_of_bits(pixels[word].v[2 * tile + i]));
  }
}

template <class T, int kTiles>
__global__ void __launch_bounds__(kThreads, kWeightsBlocks)
    conv2d_image_weights_kernel(Images images, int K, unsigned matrices, const T* dy, float* sums) {
  start_kernel();
  constexpr int kChannels = 16 * kTiles, kSums = kChannels * kTaps, kSteps = 4 / kNumbers<T> / 2;
  KERNEL_SHARED(float, shared, kWarps* kSums);
  const Lane lane;
  const unsigned warp = threadIdx.x / kWarp;
  const int64_t first = int64_t{blockIdx.y} * kChannels;
  const int share = static_cast<int>(lane.g) * 2 * kTiles;  // its first channel
  Tap taps[kFours];
  for (int n = 0; n < kFours; ++n) {
    const int number = kFours * static_cast<int>(lane.g) + n;
    taps[n] = number < kTaps ? images.tap(number / kRow, number % kRow) : Tap{0, kNever};
  }

  float d[kTiles][kFours][4] = {};
  for (unsigned m = blockIdx.x * matrices + warp; m < (blockIdx.x + 1) * matrices; m += kWarps) {
    Pixel p[4] = {images.pixel(m * kPixels + 4 * lane.t)};
    for (int q = 1; q < 4; ++q) p[q] = images.behind(p[q - 1]);
    Share<T, kTiles> of_y[4];
    for (int q = 0; q < 4; ++q) {  // behind the last pixel inputs are 0: the first one's dy will do
      const T* from = dy + static_cast<int64_t>(images.has(p[q]) ? p[q].at : 0) * K + first + share;
      of_y[q] = *reinterpret_cast<const Share<T, kTiles>*>(from);
    }
    float x[kFours][4];
    for (int n = 0; n < kFours; ++n)
      for (int q = 0; q < 4; ++q) x[n][q] = images.window(p[q]).under(taps[n]);
    for (int step = 0; step < kSteps; ++step) {
      uint32_t b[kFours][2];
      for (int n = 0; n < kFours; ++n)
        for (int j = 0; j < 2; ++j) b[n][j] = word_of<T>(x[n] + kNumbers<T> * (2 * step + j));
      for (int tile = 0; tile < kTiles; ++tile) {
        uint32_t a[4];
        for (int j = 0; j < 2; ++j)
          for (int i = 0; i < 2; ++i)
            a[2 * j + i] = word_of_pixels<T, kTiles>(of_y, 2 * step + j, tile, i);
        for (int n = 0; n < kFours; ++n) mma_16x8<T>(d[tile][n], a, b[n]);
      }
    }
  }

  for (int tile = 0; tile < kTiles; ++tile)
    for (int n = 0; n < kFours; ++n)
      for (int of = 0; of < 4; ++of) {
        const int channel = share + 2 * tile + of / 2,
                  tap = kFours * (2 * static_cast<int>(lane.t) + of % 2) + n;
        if (tap < kTaps) shared[warp * kSums + channel * kTaps + tap] = d[tile][n][of];
      }
  __syncthreads();
  float* to = sums + (int64_t{blockIdx.x} * K + first) * kTaps;
  for (unsigned i = threadIdx.x; i < kSums; i += kThreads) {
    float sum = 0;
    for (unsigned k = 0; k < kWarps; ++k) sum += shared[k * kSums + i];
    to[i] = sum;
  }
}

Images images_of(const Conv2dShape& s, const float* x) {
  return {static_cast<unsigned>(s.H), static_cast<unsigned>(s.W),
          static_cast<unsigned>(s.N * s.H * s.W), x};
}

int64_t divided_up(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}

// How matrices are shared out, among as many blocks as are at work at once on a GPU of 132
// multiprocessors, or fewer where there is less to do. The same on every GPU, so that sums are.
struct Shares {
  unsigned of_warp, of_block, blocks;

  Shares(const Conv2dShape& s, int at_once) {
    const int64_t all = divided_up(s.N * s.H * s.W, kPixels), most = int64_t{132} * at_once;
    of_warp = static_cast<unsigned>(std::max<int64_t>(1, divided_up(all, most * kWarps)));
    of_block = of_warp * kWarps;
    blocks = static_cast<unsigned>(divided_up(all, of_block));
  }
  dim3 grid(const Conv2dShape& s, int64_t channels) const {
    return {blocks, static_cast<unsigned>(s.K / channels)};
  }
};

}  // namespace

void conv2d_image(Stream stream, const Conv2dShape& s, const float* x, const float* w,
                  const float* bias, Values y) {
  const Shares shares(s, kForwardBlocks);
  if (shares.blocks == 0) return;
  const StreamAt at = stream;
  of_type(y.type, [&]<class T>(T) {
    const auto run = [&](auto kernel, int64_t channels) {
      launch(kernel, shares.grid(s, channels), kThreads, 0, at, images_of(s, x),
             static_cast<int>(s.K), shares.of_warp, w, bias, y.as<T>());
    };
    if constexpr (kNumbers<T> == 2)
      if (s.K % 64 == 0) return run(conv2d_image_kernel<T, 8>, 64);
    run(conv2d_image_kernel<T, 4>, 32);
  });
}

size_t conv2d_image_workspace(const Conv2dShape& s) {
  const int64_t parts = Shares(s, kWeightsBlocks).blocks, columns = s.K * kTaps;
  return static_cast<size_t>(parts * columns) * sizeof(float) + sum_workspace(parts, columns);
}

void conv2d_image_backward_weights(Stream stream, const Conv2dShape& s, const float* x,
                                   ConstValues dy, float beta, float* dw, void* workspace) {
  const Shares shares(s, kWeightsBlocks);
  const int64_t columns = s.K * kTaps;
  auto* sums = static_cast<float*>(workspace);
  const StreamAt at = stream;
  of_type(dy.type, [&]<class T>(T) {
    const auto run = [&](auto kernel, int64_t channels) {
      if (shares.blocks == 0) return;
      launch(kernel, shares.grid(s, channels), kThreads, 0, at, images_of(s, x),
             static_cast<int>(s.K), shares.of_block, dy.as<T>(), sums);
    };
    if constexpr (kNumbers<T> == 2)
      if (s.K % 64 == 0) return run(conv2d_image_weights_kernel<T, 4>, 64);
    run(conv2d_image_weights_kernel<T, 2>, 32);
  });
  sum_rows(stream, shares.blocks, columns, sums, beta, dw, sums + shares.blocks * columns);
}

}  // namespace expunge::kernels::cuda
