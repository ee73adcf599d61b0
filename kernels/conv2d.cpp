#include "kernels/conv2d.h"

#include <algorithm>
#include <array>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv_algo.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_tile.h"
#include "kernels/winograd.h"

// Implicit GEMM: the inputs of an output pixel under one kernel row lie side by side; they meet
// weights packed into panels of nr output channels. Output pixels are taken by which taps of the
// kernel they see, so that nothing is summed outside the image. The gradient by x is the same sum
// with other panels.
namespace expunge::kernels {
namespace {

// A task takes enough output pixels to pay for reading its panels, and images that stay in the
// cache. Tasks are wanted in such a number that they spread evenly over threads.
constexpr int64_t kTaskPixels = 256, kTaskFloats = int64_t{1} << 17, kTasks = 32;

// One convolution: where input and output pixels are, and the taps.
struct Sweep {
  Axis down, across;
  int64_t in_channels, out_channels;
  const float* in;
  int64_t in_image, in_row;  // in floats
  float* out;
  int64_t out_image, out_row, out_pixel;
  const float* bias = nullptr;
  float beta = 0;

  int64_t depth() const { return down.taps * across.taps * in_channels; }
};

// A tile that fills up with output pixels.
class TileRows {
 public:
  TileRows(const ConvTiles& tiles, const RowTile& tile, int64_t rows) : tiles_(tiles), tile_(tile) {
    left_ = rows, tiles_left_ = ceil_div(rows, tiles.mr);
    tile_.m = 0;
  }
  void add(const float* a, float* c) {
    tile_.a[tile_.m] = a, tile_.c[tile_.m] = c;
    if (++tile_.m * tiles_left_ < left_) return;
    tiles_.rows(tile_);
    left_ -= tile_.m, --tiles_left_, tile_.m = 0;
  }

 private:
  const ConvTiles& tiles_;
  RowTile tile_;
  int64_t left_, tiles_left_;
};

// The outputs of channels [c0, c0 + nr) in the rows `ys` and columns `xs` of images, which all see
// inputs under the same taps. panel: (down.taps, across.taps, in_channels, nr)
void convolve_pixels(const ConvTiles& tiles, const Sweep& g, const float* panel, int64_t c0,
                     Range images, Range ys, Range xs) {
  const Range down = g.down.taps_of(ys.begin), across = g.across.taps_of(xs.begin);
  std::array<int64_t, kMaxKernel> segment;
  for (int64_t r = 0; r < down.size(); ++r) segment[static_cast<size_t>(r)] = r * g.in_row;
  RowTile tile{};
  tile.segment = segment.data(), tile.segments = down.size();
  tile.length = across.size() * g.in_channels;
  tile.panel = panel + (down.begin * g.across.taps + across.begin) * g.in_channels * tiles.nr;
  tile.skip = g.across.taps * g.in_channels - tile.length;
  tile.bias = g.bias != nullptr ? g.bias + c0 : nullptr;
  tile.n = static_cast<int>(std::min<int64_t>(tiles.nr, g.out_channels - c0));
  tile.beta = g.beta;
  TileRows rows(tiles, tile, images.size() * ys.size() * xs.size());
  for (int64_t n = images.begin; n < images.end; ++n)
    for (int64_t y = ys.begin; y < ys.end; ++y) {
      const float* in = g.in + n * g.in_image + (g.down.first_input(y) + down.begin) * g.in_row +
                        (g.across.first_input(xs.begin) + across.begin) * g.in_channels;
      float* out = g.out + n * g.out_image + y * g.out_row + xs.begin * g.out_pixel + c0;
      for (int64_t x = xs.begin; x < xs.end; ++x) {
        rows.add(in, out);
        in += g.across.stride * g.in_channels, out += g.out_pixel;
      }
    }
}

void convolve(const ConvTiles& tiles, const Sweep& g, const float* panel, int64_t c0,
              Range images) {
  for (Range ys{0, 0}; ys.end < g.down.out;) {
    ys = g.down.run_from(ys.end);
    for (Range xs{0, 0}; xs.end < g.across.out;) {
      xs = g.across.run_from(xs.end);
      convolve_pixels(tiles, g, panel, c0, images, ys, xs);
    }
  }
}

// Tasks: groups of whole images times parts of the channel blocks. Which task computes an output
// does not change its bits: each is one sum in one order.
struct Tasks {
  int64_t N, groups, blocks, parts;
  Tasks(int64_t images, int64_t pixels, int64_t floats, int64_t channel_blocks)
      : N(images), blocks(channel_blocks) {
    const int64_t cached =
                      std::min(kTaskFloats / std::max<int64_t>(1, floats), ceil_div(N, kTasks)),
                  size = std::max(
                      {ceil_div(kTaskPixels, std::max<int64_t>(1, pixels)), cached, int64_t{1}});
    groups = ceil_div(N, size);
    parts = std::min(blocks, ceil_div(kTasks, std::max<int64_t>(1, groups)));
  }

  // pack(block, panel) fills a panel of so many floats; body(images, block, panel) uses it. Panels
  // are packed once: beforehand where several groups need them, by the task where there is one.
  template <class Pack, class Body>
  void run(int64_t panel, Pack pack, Body body) const {
    const Tensor packed(Shape{groups > 1 ? blocks * panel : 0});
    if (groups > 1) parallel_for(blocks, [&](int64_t b) { pack(b, packed.data() + b * panel); });
    parallel_for(groups * parts, [&](int64_t task) {
      const Range images = Range{0, N}.piece(task / parts, groups),
                  share = Range{0, blocks}.piece(task % parts, parts);
      const Tensor own(Shape{groups > 1 ? 0 : panel});
      for (int64_t b = share.begin; b < share.end; ++b) {
        float* data = groups > 1 ? packed.data() + b * panel : own.data();
        if (groups == 1) pack(b, data);
        body(images, b, data);
      }
    });
  }
};

}  // namespace

void conv2d(Stream, const Conv2dShape& s, const float* x, const float* w, const float* bias,
            float* y) {
  if (conv_algo_for(s) == ConvAlgo::winograd) return winograd(s, x, w, bias, y);
  const ConvTiles& tiles = conv_tiles();
  const int64_t nr = tiles.nr, P = s.P(), Q = s.Q();
  const Sweep sweep{.down = {s.H, P, s.R, s.stride, s.pad},
                    .across = {s.W, Q, s.S, s.stride, s.pad},
                    .in_channels = s.C,
                    .out_channels = s.K,
                    .in = x,
                    .in_image = s.H * s.W * s.C,
                    .in_row = s.W * s.C,
                    .out = y,
                    .out_image = P * Q * s.K,
                    .out_row = Q * s.K,
                    .out_pixel = s.K,
                    .bias = bias};
  const int64_t depth = sweep.depth();
  Tasks(s.N, P * Q, sweep.in_image, ceil_div(s.K, nr))
      .run(
          depth * nr,
          [&](int64_t block, float* panel) {
            const int64_t k = block * nr;
            tiles.transpose(w + k * depth, depth, static_cast<int>(std::min(nr, s.K - k)), depth,
                            panel);
          },
          [&](Range images, int64_t block, const float* panel) {
            convolve(tiles, sweep, panel, block * nr, images);
          });
}

// The gradient by x, one dimension. Inputs i with (i + pad) mod stride = a are reached by the taps
// r = a + stride t, t < taps, from output j - t where j = (i + pad - a) / stride: among themselves
// a convolution of stride 1 with the taps reversed.
namespace {

struct Residue {
  int64_t a, first_i;  // the inputs of this residue: first_i + stride * (0 .. count-1)
  Axis axis;           // from dy to them
  Residue() = default;
  Residue(int64_t a_, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad)
      : a(a_) {
    const int64_t taps = a < kernel ? ceil_div(kernel - a, stride) : 0,
                  j = pad > a ? ceil_div(pad - a, stride) : 0;
    first_i = j * stride + a - pad;
    const int64_t count = first_i < in ? ceil_div(in - first_i, stride) : 0;
    axis = {.in = out, .out = count, .taps = taps, .stride = 1, .pad = taps - 1 - j};
  }
};

// Every residue of rows with every residue of columns, with the place of its packed weights.
struct Phase {
  Residue y, x;
  int64_t panel;  // offset within a block's panel
  int64_t depth;
};

struct Phases {
  std::array<Phase, kMaxStride * kMaxStride> phase;
  int64_t count = 0, depth = 0;
  explicit Phases(const Conv2dShape& s) {
    for (int64_t a = 0; a < s.stride; ++a)
      for (int64_t b = 0; b < s.stride; ++b) {
        Phase& p = phase[static_cast<size_t>(count++)];
        p = {
            {a, s.H, s.P(), s.R, s.stride, s.pad}, {b, s.W, s.Q(), s.S, s.stride, s.pad}, depth, 0};
        p.depth = p.y.axis.taps * p.x.axis.taps * s.K;
        depth += p.depth;
      }
  }
  const Phase* begin() const { return phase.data(); }
  const Phase* end() const { return phase.data() + count; }
};

// panel[(u, v, k)][n] = w[k][r][q][c0 + n], taps reversed: r = a + stride (taps - 1 - u), q
// likewise
void pack_backward(const Conv2dShape& s, const float* w, const Phase& p, int64_t c0, int64_t nr,
                   float* panel) {
  const int64_t valid = std::min(nr, s.C - c0);
  for (int64_t u = p.y.axis.taps - 1; u >= 0; --u)
    for (int64_t v = p.x.axis.taps - 1; v >= 0; --v)
      for (int64_t k = 0; k < s.K; ++k, panel += nr) {
        const int64_t r = p.y.a + s.stride * u, q = p.x.a + s.stride * v;
        std::copy_n(w + ((k * s.R + r) * s.S + q) * s.C + c0, valid, panel);
        std::fill(panel + valid, panel + nr, 0.0f);
      }
}

}  // namespace

void conv2d_backward_data(Stream, const Conv2dShape& s, const float* dy, const float* w, float beta,
                          float* dx) {
  if (conv_algo_for(s) == ConvAlgo::winograd) return winograd_backward_data(s, dy, w, beta, dx);
  const ConvTiles& tiles = conv_tiles();
  const int64_t nr = tiles.nr, P = s.P(), Q = s.Q();
  const Phases phases(s);
  Tasks(s.N, s.H * s.W, P * Q * s.K, ceil_div(s.C, nr))
      .run(
          phases.depth * nr,
          [&](int64_t block, float* panel) {
            for (const Phase& p : phases)
              pack_backward(s, w, p, block * nr, nr, panel + p.panel * nr);
          },
          [&](Range images, int64_t block, const float* panel) {
            for (const Phase& p : phases) {
              if (p.depth == 0 && beta == 1.0f) continue;
              const Sweep sweep{.down = p.y.axis,
                                .across = p.x.axis,
                                .in_channels = s.K,
                                .out_channels = s.C,
                                .in = dy,
                                .in_image = P * Q * s.K,
                                .in_row = Q * s.K,
                                .out = dx + (p.y.first_i * s.W + p.x.first_i) * s.C,
                                .out_image = s.H * s.W * s.C,
                                .out_row = s.stride * s.W * s.C,
                                .out_pixel = s.stride * s.C,
                                .beta = beta};
              convolve(tiles, sweep, panel + p.panel * nr, block * nr, images);
            }
          });
}

}  // namespace expunge::kernels
