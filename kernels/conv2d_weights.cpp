#include <algorithm>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv2d.h"
#include "kernels/conv_algo.h"
#include "kernels/conv_tile.h"
#include "kernels/winograd.h"

// The gradient by w: dw[k][j] = sum over output pixels p of dy[p][k] window[p][j], where window[p]
// is the (R, S, C) patch of x under p. A task owns some columns j and walks all pixels, so that
// every element is one sum in one order whatever the thread count.
namespace expunge::kernels {
namespace {

constexpr int64_t kDepth = 256;  // pixels that a tile sums between loads and stores of dw

// Output pixels of a range of images, in order.
struct Pixels {
  const Conv2dShape& s;
  int64_t n, y, x;
  Pixels(const Conv2dShape& shape, int64_t first) : s(shape) {
    x = first % s.Q(), y = first / s.Q() % s.P(), n = first / s.Q() / s.P();
  }
  void next() {
    if (++x < s.Q()) return;
    x = 0;
    if (++y < s.P()) return;
    y = 0, ++n;
  }
};

// out[p][i] = dy[first + p][k0 + i] for `count` pixels, zero where there is no such channel
void pack_outputs(const float* dy, int64_t K, int64_t first, int64_t count, int64_t k0, int mr,
                  float* out) {
  const int64_t valid = std::min<int64_t>(mr, K - k0);
  for (int64_t p = 0; p < count; ++p, out += mr) {
    const float* row = dy + (first + p) * K + k0;
    for (int64_t i = 0; i < mr; ++i) out[i] = i < valid ? row[i] : 0.0f;
  }
}

// out[p][i] = channel c + i, i < run, of the input under tap (r, q) of output pixel first + p; zero
// outside
void pack_tap(const Conv2dShape& s, const float* x, int64_t first, int64_t count, int64_t tap,
              int64_t c, int64_t run, int nr, float* out) {
  const int64_t dy = tap / s.S - s.pad, dx = tap % s.S - s.pad;
  Pixels pixel(s, first);
  for (int64_t p = 0; p < count; ++p, pixel.next(), out += nr) {
    const int64_t iy = pixel.y * s.stride + dy, ix = pixel.x * s.stride + dx;
    if (iy >= 0 && iy < s.H && ix >= 0 && ix < s.W)
      std::copy_n(x + ((pixel.n * s.H + iy) * s.W + ix) * s.C + c, run, out);
    else
      std::fill_n(out, run, 0.0f);
  }
}

// out[p][j] = window[first + p][j0 + j] for `count` pixels and `valid` columns, zero beyond
void pack_windows(const Conv2dShape& s, const float* x, int64_t first, int64_t count, int64_t j0,
                  int64_t valid, int nr, float* out) {
  for (int64_t j = 0; j < valid;) {  // runs of columns that share a tap
    const int64_t c = (j0 + j) % s.C, run = std::min(valid - j, s.C - c);
    pack_tap(s, x, first, count, (j0 + j) / s.C, c, run, nr, out + j);
    j += run;
  }
  for (int64_t p = 0; valid < nr && p < count; ++p)
    std::fill(out + p * nr + valid, out + (p + 1) * nr, 0.0f);
}

}  // namespace

void conv2d_backward_weights(Stream, const Conv2dShape& s, int64_t n0, int64_t n1, const float* x,
                             const float* dy, float beta, float* dw) {
  if (conv_algo_for(s) == ConvAlgo::winograd)
    return winograd_backward_weights(s, n0, n1, x, dy, beta, dw);
  const ConvTiles& tiles = conv_tiles();
  const int mr = tiles.mr, nr = tiles.nr;
  const int64_t first = n0 * s.P() * s.Q(), pixels = (n1 - n0) * s.P() * s.Q();
  const int64_t length = s.R * s.S * s.C, k_blocks = (s.K + mr - 1) / mr;
  const int64_t chunks = std::max<int64_t>(1, (pixels + kDepth - 1) / kDepth);
  const Tensor outputs(
      Shape{k_blocks * mr * pixels});  // (chunks, k_blocks, pixels of the chunk, mr)
  const auto chunk_at = [&](int64_t chunk) {
    return outputs.data() + chunk * kDepth * k_blocks * mr;
  };
  const auto chunk_size = [&](int64_t chunk) { return std::min(kDepth, pixels - chunk * kDepth); };
  parallel_for(chunks, [&](int64_t chunk) {
    const int64_t count = chunk_size(chunk);
    for (int64_t k = 0; k < k_blocks; ++k)
      pack_outputs(dy, s.K, first + chunk * kDepth, count, k * mr, mr,
                   chunk_at(chunk) + k * mr * count);
  });
  // With whole blocks of channels a task takes one kernel row's taps of one block, which read the
  // same lines of x; otherwise (the first layer's 3 channels) columns are cut across taps.
  const bool whole = s.C % nr == 0;
  const int64_t taps = whole ? s.S : 1, c_blocks = whole ? s.C / nr : 1;
  parallel_for(whole ? s.R * c_blocks : (length + nr - 1) / nr, [&](int64_t task) {
    const int64_t start = whole ? task / c_blocks * s.S * s.C + task % c_blocks * nr : task * nr;
    const Tensor windows(Shape{kDepth * nr});
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t j0 = start + tap * s.C, valid = std::min<int64_t>(nr, length - j0),
                      count = chunk_size(chunk);
        pack_windows(s, x, first + chunk * kDepth, count, j0, valid, nr, windows.data());
        for (int64_t k = 0; k < k_blocks; ++k)
          tiles.outer({.a = chunk_at(chunk) + k * mr * count,
                       .b = windows.data(),
                       .lda = mr,
                       .ldb = nr,
                       .depth = count,
                       .c = dw + k * mr * length + j0,
                       .ldc = length,
                       .m = static_cast<int>(std::min<int64_t>(mr, s.K - k * mr)),
                       .n = static_cast<int>(valid),
                       .beta = chunk == 0 ? beta : 1.0f});
      }
  });
}

}  // namespace expunge::kernels
