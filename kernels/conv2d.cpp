#include "kernels/conv2d.h"

#include <algorithm>
#include <array>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv_algo.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_epilogue.h"
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
constexpr int64_t kPanelFloats = int64_t{1} << 17;  // that a pixel meets while it is in the cache

// Weights of channel blocks [begin, end): (blocks, down.taps, across.taps, in_channels, nr)
struct Panels {
  Range blocks;
  const float* data;
  int64_t size;  // floats from one block to the next
};

// One convolution: the taps, and where input and output pixels are.
struct Sweep {
  Axis down, across;
  int64_t in_channels, out_channels;
  const float* in;
  int64_t in_image, in_row;  // in floats
  float* out;
  int64_t out_image, out_row, out_pixel;
  const float* bias = nullptr;
  float beta = 0;
  ConvEpilogue then{};
};

// Output pixels that see inputs under the same taps: rows of tiles, taken as they fill up, with all
// blocks of channels.
class PixelTiles {
 public:
  PixelTiles(const Sweep& sweep, const Panels& panels, Range down, Range across, int64_t pixels)
      : sweep_(sweep), panels_(panels), left_(pixels), tiles_left_(ceil_div(pixels, tiles_.mr)) {
    for (int64_t r = 0; r < down.size(); ++r) segment_[static_cast<size_t>(r)] = r * sweep.in_row;
    tile_.segment = segment_.data(), tile_.segments = down.size();
    tile_.length = across.size() * sweep.in_channels;
    tile_.skip = sweep.across.taps * sweep.in_channels - tile_.length;
    tile_.beta = sweep.beta;
    panels_.data += (down.begin * sweep.across.taps + across.begin) * sweep.in_channels * tiles_.nr;
  }
  void add(const float* in, float* out) {
    tile_.a[tile_.m] = in, out_[static_cast<size_t>(tile_.m)] = out;
    if (++tile_.m * tiles_left_ < left_) return;  // tiles of even size
    for (int64_t b = panels_.blocks.begin; b < panels_.blocks.end; ++b) run(b);
    left_ -= tile_.m, --tiles_left_, tile_.m = 0;
  }

 private:
  void run(int64_t block) {
    const int64_t c = block * tiles_.nr;
    for (int i = 0; i < tile_.m; ++i) tile_.c[i] = out_[static_cast<size_t>(i)] + c;
    tile_.n = static_cast<int>(std::min<int64_t>(tiles_.nr, sweep_.out_channels - c));
    tile_.panel = panels_.data + (block - panels_.blocks.begin) * panels_.size;
    tile_.bias = sweep_.bias != nullptr ? sweep_.bias + c : nullptr;
    tiles_.rows(tile_);
    sweep_.then(tile_.c, tile_.m, c, tile_.n);
  }

  const ConvTiles& tiles_ = conv_tiles();
  const Sweep& sweep_;
  Panels panels_;
  RowTile tile_{};
  std::array<int64_t, kMaxKernel> segment_;
  std::array<float*, kMaxTileRows> out_;
  int64_t left_, tiles_left_;
};

void convolve_pixels(const Sweep& g, const Panels& panels, Range images, Range ys, Range xs) {
  const Range down = g.down.taps_of(ys.begin), across = g.across.taps_of(xs.begin);
  PixelTiles tiles(g, panels, down, across, images.size() * ys.size() * xs.size());
  for (int64_t n = images.begin; n < images.end; ++n)
    for (int64_t y = ys.begin; y < ys.end; ++y) {
      const float* in = g.in + n * g.in_image + (g.down.first_input(y) + down.begin) * g.in_row +
                        (g.across.first_input(xs.begin) + across.begin) * g.in_channels;
      float* out = g.out + n * g.out_image + y * g.out_row + xs.begin * g.out_pixel;
      for (int64_t x = xs.begin; x < xs.end; ++x) {
        tiles.add(in, out);
        in += g.across.stride * g.in_channels, out += g.out_pixel;
      }
    }
}

void convolve(const Sweep& g, const Panels& panels, Range images) {
  for (Range ys{0, 0}; ys.end < g.down.out;) {
    ys = g.down.run_from(ys.end);
    for (Range xs{0, 0}; xs.end < g.across.out;) {
      xs = g.across.run_from(xs.end);
      convolve_pixels(g, panels, images, ys, xs);
    }
  }
}

// Tasks: groups of whole images times parts of the channel blocks. Which task computes an output
// does not change its bits: each is one sum in one order.
struct Tasks {
  int64_t images, blocks, groups, parts;
  // pixels: outputs of an image; floats: its inputs
  Tasks(int64_t images_, int64_t pixels, int64_t floats, int64_t blocks_)
      : images(images_), blocks(blocks_) {
    const int64_t enough = ceil_div(kTaskPixels, std::max<int64_t>(1, pixels)),
                  cached = kTaskFloats / std::max<int64_t>(1, floats);
    groups = ceil_div(images,
                      std::max({enough, std::min(cached, ceil_div(images, kTasks)), int64_t{1}}));
    parts = std::min(blocks, ceil_div(kTasks, std::max<int64_t>(1, groups)));
  }

  // pack(block, panel) fills a panel of `size` floats; body(images, panels) uses some. Panels are
  // packed once: beforehand where several groups need them, by their task where there is one.
  template <class Pack, class Body>
  void run(int64_t size, Pack pack, Body body) const {
    const bool before = groups > 1;
    const Tensor packed(Shape{before ? blocks * size : 0});
    if (before) parallel_for(blocks, [&](int64_t b) { pack(b, packed.data() + b * size); });
    const int64_t together = std::max<int64_t>(1, kPanelFloats / std::max<int64_t>(1, size));
    parallel_for(groups * parts, [&](int64_t task) {
      const Range group = Range{0, images}.piece(task / parts, groups),
                  share = Range{0, blocks}.piece(task % parts, parts);
      const Tensor own(Shape{before ? 0 : std::min(together, share.size()) * size});
      for_pieces(share, together, [&](Range piece) {
        for (int64_t b = piece.begin; !before && b < piece.end; ++b)
          pack(b, own.data() + (b - piece.begin) * size);
        body(group, {piece, before ? packed.data() + piece.begin * size : own.data(), size});
      });
    });
  }
};

void forward(const Conv2dShape& s, const float* x, const float* w, const float* bias,
             const ConvEpilogue& then, float* y) {
  if (conv_algo_for(s) == ConvAlgo::winograd) return winograd(s, x, w, bias, then, y);
  const int64_t nr = conv_tiles().nr, P = s.P(), Q = s.Q(), depth = s.R * s.S * s.C;
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
                    .bias = bias,
                    .then = then};
  Tasks(s.N, P * Q, sweep.in_image, ceil_div(s.K, nr))
      .run(
          depth * nr,
          [&](int64_t block, float* panel) {
            const int64_t k = block * nr, valid = std::min(nr, s.K - k);
            conv_tiles().transpose(w + k * depth, depth, static_cast<int>(valid), depth, panel);
          },
          [&](Range images, const Panels& panels) { convolve(sweep, panels, images); });
}

}  // namespace

void conv2d(Stream stream, const Conv2dShape& s, ConstValues x, ConstValues w, const float* bias,
            Values y) {
  dispatch(
      stream, [&] { forward(s, x.f32(), w.f32(), bias, {}, y.f32()); },
      [&] { cuda::conv2d(stream, s, x, w, bias, y); });
}

void conv2d_batch_norm(Stream stream, const Conv2dShape& s, ConstValues x, ConstValues w,
                       const float* bias, const ConvNorm& norm, Values y) {
  const auto on_cpu = [&] {
    forward(s, x.f32(), w.f32(), bias, {norm.line, s.K, norm.relu, norm.residual.f32(), y.f32()},
            y.f32());
  };
  dispatch(stream, on_cpu, [&] {
    cuda::conv2d(stream, s, x, w, bias, y);
    cuda::batch_norm_apply(stream, BatchNormApply{.shape = {s.N * s.P() * s.Q(), s.K, norm.relu},
                                                  .x = y,
                                                  .line = norm.line,
                                                  .residual = norm.residual,
                                                  .y = y});
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
  int64_t start, depth;  // rows of a block's panel
};

struct Phases {
  std::array<Phase, kMaxStride * kMaxStride> phase;
  int64_t count = 0, depth = 0;
  bool unreached = false;  // inputs that no tap reaches: 1x1 with stride 2, say
  explicit Phases(const Conv2dShape& s) {
    for (int64_t a = 0; a < s.stride; ++a)
      for (int64_t b = 0; b < s.stride; ++b) {
        Phase& p = phase[static_cast<size_t>(count++)];
        p = {
            {a, s.H, s.P(), s.R, s.stride, s.pad}, {b, s.W, s.Q(), s.S, s.stride, s.pad}, depth, 0};
        p.depth = p.y.axis.taps * p.x.axis.taps * s.K;
        depth += p.depth;
        unreached |= p.depth == 0;
      }
  }
  const Phase* begin() const { return phase.data(); }
  const Phase* end() const { return phase.data() + count; }
};

constexpr int64_t kLine = 16, kAhead = 12;  // floats of a cache line, rows to look ahead

// panel[(u, v, k)][n] = w[k][r][q][c0 + n], taps reversed: r = a + stride (taps - 1 - u), q
// likewise
void pack_backward(const Conv2dShape& s, const float* w, const Phase& p, int64_t c0, int64_t nr,
                   float* panel) {
  const int64_t valid = std::min(nr, s.C - c0), step = s.R * s.S * s.C;
  for (int64_t u = p.y.axis.taps - 1; u >= 0; --u)
    for (int64_t v = p.x.axis.taps - 1; v >= 0; --v) {
      const float* from = w + ((p.y.a + s.stride * u) * s.S + p.x.a + s.stride * v) * s.C + c0;
      for (int64_t k = 0; k < s.K; ++k, from += step, panel += nr) {
        for (int64_t c = 0; c < valid; c += kLine)  // too far apart for the hardware to foresee
          __builtin_prefetch(from + kAhead * step + c);
        std::copy_n(from, valid, panel);
        std::fill(panel + valid, panel + nr, 0.0f);
      }
    }
}

// dx = beta dx in some channels of some images
void scale(const Conv2dShape& s, Range images, Range channels, float beta, float* dx) {
  for (int64_t pixel = images.begin * s.H * s.W; pixel < images.end * s.H * s.W; ++pixel)
    for (int64_t c = channels.begin; c < channels.end; ++c)
      dx[pixel * s.C + c] = beta == 0.0f ? 0.0f : beta * dx[pixel * s.C + c];
}

}  // namespace

void conv2d_backward_data(Stream stream, const Conv2dShape& s, ConstValues gradient,
                          ConstValues weights, float beta, Values out) {
  if (on_cuda(stream, [&] { cuda::conv2d_backward_data(stream, s, gradient, weights, beta, out); }))
    return;
  const float *dy = gradient.f32(), *w = weights.f32();
  float* dx = out.f32();
  if (conv_algo_for(s) == ConvAlgo::winograd) return winograd_backward_data(s, dy, w, beta, dx);
  const int64_t nr = conv_tiles().nr, P = s.P(), Q = s.Q();
  const Phases phases(s);
  const auto pack = [&](int64_t block, float* panel) {
    for (const Phase& p : phases) pack_backward(s, w, p, block * nr, nr, panel + p.start * nr);
  };
  const auto body = [&](Range images, const Panels& panels) {
    const Range channels{panels.blocks.begin * nr, std::min(panels.blocks.end * nr, s.C)};
    if (phases.unreached && beta != 1.0f) scale(s, images, channels, beta, dx);
    for (const Phase& p : phases) {
      if (p.depth == 0) continue;
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
                        .beta = phases.unreached ? 1.0f : beta};
      convolve(sweep, {panels.blocks, panels.data + p.start * nr, panels.size}, images);
    }
  };
  Tasks(s.N, s.H * s.W, P * Q * s.K, ceil_div(s.C, nr)).run(phases.depth * nr, pack, body);
}

}  // namespace expunge::kernels
