#include "kernels/conv2d.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv_algo.h"
#include "kernels/conv_tile.h"
#include "kernels/winograd.h"

// Implicit GEMM: a padded copy of a few images, in which the inputs of one kernel row are
// consecutive, meets weights packed into panels of nr output channels. The gradient by x is the
// same sum with other panels.
namespace expunge::kernels {
namespace {

// Output pixels of a task, at least: enough to pay for its padded copy, which stays in the L2
// cache.
constexpr int64_t kTaskPixels = 128;

// Offsets of a kernel's rows within the padded image.
struct Segments {
  std::array<int64_t, kMaxKernel> offset{};
  Segments(int64_t rows, int64_t row_floats) {
    for (int64_t r = 0; r < rows; ++r) offset[static_cast<size_t>(r)] = r * row_floats;
  }
};

// Weights packed for the tiles: blocks of nr output channels, each (segments * length, nr).
struct Panels {
  const float* data;
  int64_t columns;  // output channels
  const int64_t* segment;
  int64_t segments, length;
  const float* bias = nullptr;
};

// Output pixels (images, rows, columns), where each one's input window starts and where its
// channels go.
struct PixelGrid {
  int64_t images, rows, columns;
  const float* in;
  int64_t in_image, in_row, in_pixel;
  float* out;
  int64_t out_image, out_row, out_pixel;
  float beta = 0;
};

void convolve(const ConvTiles& tiles, const PixelGrid& g, const Panels& p, int64_t block0,
              int64_t block1) {
  for (int64_t block = block0; block < block1; ++block) {
    const int64_t c0 = block * tiles.nr;
    RowTile tile{};
    tile.segment = p.segment, tile.segments = p.segments, tile.length = p.length;
    tile.panel = p.data + c0 * p.segments * p.length;
    tile.bias = p.bias != nullptr ? p.bias + c0 : nullptr;
    tile.n = static_cast<int>(std::min<int64_t>(tiles.nr, p.columns - c0));
    tile.beta = g.beta;
    for (int64_t n = 0; n < g.images; ++n)
      for (int64_t y = 0; y < g.rows; ++y)
        for (int64_t x = 0; x < g.columns; ++x) {
          tile.a[tile.m] = g.in + n * g.in_image + y * g.in_row + x * g.in_pixel;
          tile.c[tile.m] = g.out + n * g.out_image + y * g.out_row + x * g.out_pixel + c0;
          if (++tile.m == tiles.mr) tiles.rows(tile), tile.m = 0;
        }
    if (tile.m > 0) tiles.rows(tile);
  }
}

// Tasks: groups of whole images, times parts of the channel blocks where groups are few. Which task
// computes an output does not change its bits: each is one sum in one order.
struct Tasks {
  int64_t N, images, groups, splits, blocks;
  Tasks(int64_t all_images, int64_t pixels_per_image, int64_t channel_blocks)
      : N(all_images), blocks(channel_blocks) {
    images = std::max<int64_t>(1, kTaskPixels / std::max<int64_t>(1, pixels_per_image));
    groups = (N + images - 1) / images;
    splits = groups >= 8 ? 1 : std::min<int64_t>(blocks, 4);
  }
  // body(first image, past the last image, first block, past the last block)
  template <class Body>
  void run(Body body) const {
    parallel_for(groups * splits, [&](int64_t task) {
      const int64_t n0 = task / splits * images, part = task % splits;
      body(n0, std::min(n0 + images, N), part * blocks / splits, (part + 1) * blocks / splits);
    });
  }
};

struct Border {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
};

// Images of (H, W, C) with zeros around them; where no border is needed, the images themselves.
class Padded {
 public:
  Padded(const float* x, int64_t images, int64_t H, int64_t W, int64_t C, const Border& b)
      : row((b.left + W + b.right) * C), image((b.top + H + b.bottom) * row), data_(x) {
    if (image == H * W * C) return;
    copy_ = Tensor(Shape{images * image});
    float* out = copy_.data();
    data_ = out;
    for (int64_t n = 0; n < images; ++n) {
      out = std::fill_n(out, b.top * row, 0.0f);
      for (int64_t y = 0; y < H; ++y, x += W * C) {
        out = std::fill_n(out, b.left * C, 0.0f);
        out = std::copy_n(x, W * C, out);
        out = std::fill_n(out, b.right * C, 0.0f);
      }
      out = std::fill_n(out, b.bottom * row, 0.0f);
    }
  }
  const float* data() const { return data_; }
  const int64_t row, image;  // floats of a padded row and image

 private:
  const float* data_;
  Tensor copy_;
};

// panel[j][n] = w[k0 + n][j]: the weights of nr output channels side by side
void pack_forward(const float* w, int64_t K, int64_t length, int64_t k0, int nr, float* panel) {
  const int64_t valid = std::min<int64_t>(nr, K - k0);
  for (int64_t j = 0; j < length; ++j)
    for (int64_t n = 0; n < nr; ++n)
      panel[j * nr + n] = n < valid ? w[(k0 + n) * length + j] : 0.0f;
}

}  // namespace

void conv2d(Stream, const Conv2dShape& s, const float* x, const float* w, const float* bias,
            float* y) {
  if (conv_algo_for(s) == ConvAlgo::winograd) return winograd(s, x, w, bias, y);
  const ConvTiles& tiles = conv_tiles();
  const int64_t depth = s.R * s.S * s.C, blocks = (s.K + tiles.nr - 1) / tiles.nr, P = s.P(),
                Q = s.Q();
  const Tensor packed(Shape{blocks * depth * tiles.nr});
  parallel_for(blocks, [&](int64_t b) {
    pack_forward(w, s.K, depth, b * tiles.nr, tiles.nr, packed.data() + b * depth * tiles.nr);
  });
  Tasks(s.N, P * Q, blocks).run([&](int64_t n0, int64_t n1, int64_t block0, int64_t block1) {
    const Padded in(x + n0 * s.H * s.W * s.C, n1 - n0, s.H, s.W, s.C, {s.pad, s.pad, s.pad, s.pad});
    const Segments segments(s.R, in.row);
    const PixelGrid grid{.images = n1 - n0,
                         .rows = P,
                         .columns = Q,
                         .in = in.data(),
                         .in_image = in.image,
                         .in_row = s.stride * in.row,
                         .in_pixel = s.stride * s.C,
                         .out = y + n0 * P * Q * s.K,
                         .out_image = P * Q * s.K,
                         .out_row = Q * s.K,
                         .out_pixel = s.K};
    const Panels panels{.data = packed.data(),
                        .columns = s.K,
                        .segment = segments.offset.data(),
                        .segments = s.R,
                        .length = s.S * s.C,
                        .bias = bias};
    convolve(tiles, grid, panels, block0, block1);
  });
}

// The gradient by x, one dimension. Inputs i with (i + pad) mod stride = a are reached by the taps
// r = a + stride t, t < taps, from output j - t where j = (i + pad - a) / stride: among themselves
// a convolution of stride 1 with the taps reversed.
namespace {

struct Residue {
  int64_t a, taps;
  int64_t first_i, count;  // the inputs of this residue: first_i + stride * (0 .. count-1)
  int64_t first_out;       // the output that the last tap takes for first_i; below 0: padding
  Residue() = default;
  Residue(int64_t a_, int64_t in, int64_t kernel, int64_t stride, int64_t pad) : a(a_) {
    taps = a < kernel ? (kernel - a + stride - 1) / stride : 0;
    const int64_t j = pad > a ? (pad - a + stride - 1) / stride : 0;
    first_i = j * stride + a - pad;
    count = first_i < in ? (in - first_i + stride - 1) / stride : 0;
    first_out = j - (taps - 1);
  }
  // Zeros needed before and after `out` outputs so that no window of this residue reads outside.
  void widen(int64_t out, int64_t& before, int64_t& after) const {
    if (taps == 0 || count == 0) return;
    before = std::max(before, -first_out);
    after = std::max(after, first_out + taps + count - 1 - out);
  }
};

// Every residue of rows with every residue of columns, with the place of its packed weights.
struct Phase {
  Residue y, x;
  int64_t panels;  // offset of its panels
  int64_t depth(int64_t K) const { return y.taps * x.taps * K; }
};

struct Phases {
  std::array<Phase, kMaxStride * kMaxStride> phase;
  int64_t count = 0, floats = 0;
  Border border;
  Phases(const Conv2dShape& s, int64_t padded_channels) {
    for (int64_t a = 0; a < s.stride; ++a)
      for (int64_t b = 0; b < s.stride; ++b) {
        Phase& p = phase[static_cast<size_t>(count++)];
        p = {{a, s.H, s.R, s.stride, s.pad}, {b, s.W, s.S, s.stride, s.pad}, floats};
        floats += p.depth(s.K) * padded_channels;
        p.y.widen(s.P(), border.top, border.bottom);
        p.x.widen(s.Q(), border.left, border.right);
      }
  }
  const Phase* begin() const { return phase.data(); }
  const Phase* end() const { return phase.data() + count; }
};

// panel[(u, v, k)][n] = w[k][r][q][c0 + n], taps reversed: r = a + stride (taps - 1 - u), q
// likewise
void pack_backward(const Conv2dShape& s, const float* w, const Phase& p, int64_t c0, int nr,
                   float* panel) {
  const int64_t valid = std::min<int64_t>(nr, s.C - c0);
  for (int64_t u = p.y.taps - 1; u >= 0; --u)
    for (int64_t v = p.x.taps - 1; v >= 0; --v)
      for (int64_t k = 0; k < s.K; ++k, panel += nr) {
        const int64_t r = p.y.a + s.stride * u, q = p.x.a + s.stride * v;
        std::copy_n(w + ((k * s.R + r) * s.S + q) * s.C + c0, valid, panel);
        std::fill(panel + valid, panel + nr, 0.0f);
      }
}

// Inputs that no tap reaches (1x1 with stride 2, say): dx = beta dx
void scale_pixels(const PixelGrid& g, int64_t C) {
  for (int64_t n = 0; n < g.images; ++n)
    for (int64_t y = 0; y < g.rows; ++y)
      for (int64_t x = 0; x < g.columns; ++x) {
        float* out = g.out + n * g.out_image + y * g.out_row + x * g.out_pixel;
        for (int64_t c = 0; c < C; ++c) out[c] = g.beta == 0.0f ? 0.0f : g.beta * out[c];
      }
}

}  // namespace

void conv2d_backward_data(Stream, const Conv2dShape& s, const float* dy, const float* w, float beta,
                          float* dx) {
  if (conv_algo_for(s) == ConvAlgo::winograd) return winograd_backward_data(s, dy, w, beta, dx);
  const ConvTiles& tiles = conv_tiles();
  const int64_t P = s.P(), Q = s.Q(), blocks = (s.C + tiles.nr - 1) / tiles.nr;
  const Phases phases(s, blocks * tiles.nr);
  const Tensor packed(Shape{phases.floats});
  parallel_for(blocks, [&](int64_t b) {
    for (const Phase& p : phases)
      pack_backward(s, w, p, b * tiles.nr, tiles.nr,
                    packed.data() + p.panels + b * tiles.nr * p.depth(s.K));
  });
  Tasks(s.N, s.H * s.W, blocks).run([&](int64_t n0, int64_t n1, int64_t block0, int64_t block1) {
    const Border& border = phases.border;
    const Padded in(dy + n0 * P * Q * s.K, n1 - n0, P, Q, s.K, border);
    for (const Phase& p : phases) {
      const PixelGrid grid{.images = n1 - n0,
                           .rows = p.y.count,
                           .columns = p.x.count,
                           .in = in.data() + (p.y.first_out + border.top) * in.row +
                                 (p.x.first_out + border.left) * s.K,
                           .in_image = in.image,
                           .in_row = in.row,
                           .in_pixel = s.K,
                           .out = dx + ((n0 * s.H + p.y.first_i) * s.W + p.x.first_i) * s.C,
                           .out_image = s.H * s.W * s.C,
                           .out_row = s.stride * s.W * s.C,
                           .out_pixel = s.stride * s.C,
                           .beta = beta};
      const Segments segments(p.y.taps, in.row);
      if (p.depth(s.K) > 0)
        convolve(tiles, grid,
                 {.data = packed.data() + p.panels,
                  .columns = s.C,
                  .segment = segments.offset.data(),
                  .segments = p.y.taps,
                  .length = p.x.taps * s.K},
                 block0, block1);
      else if (block0 == 0 && beta != 1.0f)
        scale_pixels(grid, s.C);
    }
  });
}

}  // namespace expunge::kernels
