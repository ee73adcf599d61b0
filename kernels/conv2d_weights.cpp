#include <algorithm>
#include <bit>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv2d.h"
#include "kernels/conv_algo.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_tile.h"
#include "kernels/winograd.h"

// The gradient by w: dw[k][r][q][c] = sum over output pixels (n, y, x) of dy[n][y][x][k]
// x[n][y stride - pad + r][x stride - pad + q][c]. Pixels that see nothing under a tap are left
// out. A task sums a group of output rows for some of the weights. Groups are cut by the shape
// alone and their sums added in order, so that the thread count changes no bit.
namespace expunge::kernels {
namespace {

// Pixels that a tile sums between load and store of its sums, for each of its columns. Measured:
// 512 on AVX-512, 256 on AVX2.
constexpr int64_t kDepth = 16;
// Groups' sums are written, read and added up: groups must be long and their sums together stay in
// the cache.
constexpr int64_t kGroupPixels = 1024, kGroupSums = int64_t{1} << 20, kMaxGroups = 32;
constexpr int64_t kTasks = 32;  // wanted, so that they spread evenly over threads

// Pixels of some output rows: where their channels start, counted from the first of these rows in
// dy and from the first image in x.
class PixelList {
 public:
  explicit PixelList(int64_t capacity)
      : dy_(Shape{capacity}, DType::i32), x_(Shape{capacity}, DType::i32) {}

  // Of rows (n, y) those in `ys`, of their pixels those in `xs`; x under tap (r, q).
  void find(const Conv2dShape& s, Range rows, Range ys, Range xs, int64_t r, int64_t q) {
    const int64_t first_image = rows.begin / s.P();
    size_ = 0;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const int64_t y = row % s.P(), image = row / s.P() - first_image;
      if (y < ys.begin || y >= ys.end) continue;
      int64_t out = ((row - rows.begin) * s.Q() + xs.begin) * s.K,
              in = ((image * s.H + y * s.stride - s.pad + r) * s.W + xs.begin * s.stride - s.pad +
                    q) *
                   s.C;
      for (int64_t i = xs.begin; i < xs.end; ++i, out += s.K, in += s.stride * s.C, ++size_)
        dy()[size_] = static_cast<int32_t>(out), x()[size_] = static_cast<int32_t>(in);
    }
  }
  int64_t size() const { return size_; }
  int32_t* dy() const { return dy_.as<int32_t>(); }
  int32_t* x() const { return x_.as<int32_t>(); }

 private:
  Tensor dy_, x_;
  int64_t size_ = 0;
};

// A block of columns of B, its listed rows copied side by side.
class GatheredBlock {
 public:
  GatheredBlock(int64_t depth, int64_t nr)
      : at_(Shape{depth}, DType::i32), data_(Shape{depth * nr}) {
    for (int64_t p = 0; p < depth; ++p) at_.as<int32_t>()[p] = static_cast<int32_t>(p * nr);
  }
  // For `uses` tiles, where it pays: many tiles read rows faster that lie together (AVX2: 0.8 of
  // the time). A block narrower than nr must be: whole rows of it would pass the tensor's end.
  void replace(OuterTile& tile, int64_t uses) const {
    if (tile.n == conv_tiles().nr && uses < kGatherFor) return;
    conv_tiles().gather(tile.b, tile.b_at, tile.depth, tile.n, data_.data());
    tile.b = data_.data(), tile.b_at = at_.as<int32_t>();
  }

 private:
  static constexpr int64_t kGatherFor = 16;
  Tensor at_, data_;
};

struct Problem {
  const Conv2dShape& s;
  const ConvTiles& tiles;
  Range rows;  // output rows (n, y) of all images
  const float *x, *dy;

  Axis down() const { return {s.H, s.P(), s.R, s.stride, s.pad}; }
  Axis across() const { return {s.W, s.Q(), s.S, s.stride, s.pad}; }
  int64_t weights() const { return s.K * s.R * s.S * s.C; }
  int64_t chunk_rows() const { return std::max<int64_t>(1, kDepth * tiles.nr / s.Q()); }

  // body(chunk of rows, its dy, the image of x it starts in); once for no rows at all.
  template <class Body>
  void for_chunks(Range group, Body body) const {
    Range chunk{group.begin, 0};
    do {
      chunk.end = std::min(chunk.begin + chunk_rows(), group.end);
      body(chunk, dy + chunk.begin * s.Q() * s.K, x + chunk.begin / s.P() * s.H * s.W * s.C);
      chunk.begin = chunk.end;
    } while (chunk.begin < group.end);
  }
};

// dw (K, R, S, C) = beta dw + the sums of a group. Columns of a tile: a block of channels under one
// tap; rows: outputs.
void sum_by_channels(const Problem& p, Range group, Range blocks, Range outputs, float beta,
                     float* dw) {
  const Conv2dShape& s = p.s;
  const int64_t nr = p.tiles.nr, depth = p.chunk_rows() * s.Q();
  PixelList pixels(depth);
  const GatheredBlock gathered(depth, nr);
  p.for_chunks(group, [&](Range chunk, const float* dy, const float* x) {
    for (int64_t tap = 0; tap < s.R * s.S; ++tap) {
      const int64_t r = tap / s.S, q = tap % s.S;
      pixels.find(s, chunk, p.down().outputs_of(r), p.across().outputs_of(q), r, q);
      for (int64_t c = blocks.begin * nr; c < std::min(blocks.end * nr, s.C); c += nr) {
        OuterTile tile{.b = x + c, .depth = pixels.size(), .ldc = s.R * s.S * s.C, .beta = beta};
        tile.a_at = pixels.dy(), tile.b_at = pixels.x();
        tile.n = static_cast<int>(std::min(nr, s.C - c));
        gathered.replace(tile, ceil_div(outputs.size(), p.tiles.mr));
        for_pieces(outputs, p.tiles.mr, [&](Range k) {
          tile.a = dy + k.begin, tile.m = static_cast<int>(k.size());
          tile.c = dw + k.begin * tile.ldc + tap * s.C + c;
          p.tiles.outer(tile);
        });
      }
    }
    beta = 1.0f;
  });
}

// The same for layers of few channels: sums (R, S, C, K). Columns of a tile: a block of outputs;
// rows: the channels under the taps of a kernel row that some pixels see.
void sum_by_outputs(const Problem& p, Range group, Range blocks, float* sums) {
  const Conv2dShape& s = p.s;
  const int64_t nr = p.tiles.nr, depth = p.chunk_rows() * s.Q();
  const Axis across = p.across();
  PixelList pixels(depth);
  const GatheredBlock gathered(depth, nr);
  for (int64_t j = 0; j < s.R * s.S * s.C; ++j)
    std::fill(sums + j * s.K + blocks.begin * nr, sums + j * s.K + std::min(blocks.end * nr, s.K),
              0.0f);
  p.for_chunks(group, [&](Range chunk, const float* dy, const float* x) {
    for (int64_t r = 0; r < s.R; ++r)
      for (Range run{0, 0}; run.begin < s.Q(); run.begin = run.end) {
        run = across.run_from(run.begin);
        const Range taps = across.taps_of(run.begin);
        pixels.find(s, chunk, p.down().outputs_of(r), run, r, taps.begin);
        for (int64_t k = blocks.begin * nr; k < std::min(blocks.end * nr, s.K); k += nr) {
          OuterTile tile{.b = dy + k, .depth = pixels.size(), .ldc = s.K, .beta = 1.0f};
          tile.a_at = pixels.x(), tile.b_at = pixels.dy();
          tile.n = static_cast<int>(std::min(nr, s.K - k));
          gathered.replace(tile, ceil_div(taps.size() * s.C, p.tiles.mr));
          for_pieces({0, taps.size() * s.C}, p.tiles.mr, [&](Range c) {
            tile.a = x + c.begin, tile.m = static_cast<int>(c.size());
            tile.c = sums + ((r * s.S + taps.begin) * s.C + c.begin) * s.K + k;
            p.tiles.outer(tile);
          });
        }
      }
  });
}

// Share of the tile's columns that a block of n uses.
double use_of_columns(int64_t n, int64_t nr) {
  return static_cast<double>(n) / static_cast<double>(ceil_div(n, nr) * nr);
}

}  // namespace

void conv2d_backward_weights(Stream stream, const Conv2dShape& s, int64_t n0, int64_t n1,
                             ConstValues input, ConstValues gradient, float beta, Values out) {
  const auto work = [&] {
    cuda::conv2d_backward_weights(stream, s, n0, n1, input, gradient, beta, out);
  };
  if (on_cuda(stream, work)) return;
  const float *x = input.f32(), *dy = gradient.f32();
  float* dw = out.f32();
  if (conv_algo_for(s) == ConvAlgo::winograd)
    return winograd_backward_weights(s, n0, n1, x, dy, beta, dw);
  const ConvTiles& tiles = conv_tiles();
  const Problem p{.s = s, .tiles = tiles, .rows = {n0 * s.P(), n1 * s.P()}, .x = x, .dy = dy};
  if (p.weights() == 0) return;
  const bool by_outputs = use_of_columns(s.K, tiles.nr) > use_of_columns(s.C, tiles.nr);
  const int64_t most = std::min(p.rows.size() * s.Q() / kGroupPixels, kGroupSums / p.weights());
  const int64_t groups = static_cast<int64_t>(  // powers of two share out evenly
      std::bit_floor(static_cast<uint64_t>(std::clamp<int64_t>(most, 1, kMaxGroups))));
  const int64_t blocks = ceil_div(by_outputs ? s.K : s.C, tiles.nr);
  int64_t parts = std::min(blocks, ceil_div(kTasks, groups));
  while (blocks % parts != 0) ++parts;
  const int64_t cuts =
      by_outputs ? 1 : std::min(ceil_div(s.K, tiles.mr), ceil_div(kTasks, groups * parts));
  const bool direct = groups == 1 && !by_outputs;
  const Tensor sums(Shape{direct ? 0 : groups * p.weights()});
  parallel_for(groups * parts * cuts, [&](int64_t task) {
    const int64_t cut = task % cuts, part = task / cuts % parts, g = task / cuts / parts;
    const Range group = p.rows.piece(g, groups), share = Range{0, blocks}.piece(part, parts);
    float* own = sums.data() + (direct ? 0 : g * p.weights());
    if (by_outputs)
      sum_by_outputs(p, group, share, own);
    else
      sum_by_channels(p, group, share, Range{0, s.K}.piece(cut, cuts), direct ? beta : 0.0f,
                      direct ? dw : own);
  });
  if (direct) return;
  const int64_t length = s.R * s.S * s.C, step = by_outputs ? s.K : 1;
  parallel_for(s.K, [&](int64_t k) {
    float* row = dw + k * length;
    for (int64_t j = 0; j < length; ++j) row[j] = beta == 0.0f ? 0.0f : beta * row[j];
    for (int64_t g = 0; g < groups; ++g) {
      const float* sum = sums.data() + g * p.weights() + k * (by_outputs ? 1 : length);
      for (int64_t j = 0; j < length; ++j) row[j] += sum[j * step];
    }
  });
}

}  // namespace expunge::kernels
