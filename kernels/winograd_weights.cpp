#include <algorithm>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv_tile.h"
#include "kernels/winograd.h"
#include "kernels/winograd_grid.h"

// The gradient by w: M[p][k][c] = sum over tiles of D[p][tile][k] V[p][tile][c] with D = A dy A^T
// and V = B^T d B; dw = G^T M G. Tiles are taken in chunks that fit the last cache; within a chunk
// every M element is one sum in the order of tiles, so that its bits do not depend on threads.
namespace expunge::kernels {
namespace {

constexpr int64_t kChunkTiles = 64, kTransformTiles = 4;
constexpr int64_t kRowsPerTask = 64;  // output channels whose M a task keeps in its L2 cache

class WeightGradient {
 public:
  WeightGradient(const Conv2dShape& shape, int64_t n0, int64_t n1, const float* x, const float* dy,
                 float beta, float* dw)
      : s_(shape),
        x_{x + n0 * s_.H * s_.W * s_.C, s_.H, s_.W, s_.C},
        dy_{dy + n0 * s_.P() * s_.Q() * s_.K, s_.P(), s_.Q(), s_.K},
        grid_(s_.P(), s_.Q()),
        tiles_((n1 - n0) * grid_.per_image()),
        beta_(beta),
        dw_(dw),
        group_(transforms_.lanes / gemm_.mr * gemm_.mr),
        groups_((s_.K + group_ - 1) / group_),
        blocks_((s_.C + gemm_.nr - 1) / gemm_.nr) {}

  void run() const {
    if (tiles_ <= kChunkTiles) return run_at_once();
    const Sums sums = make_sums(s_.K, s_.C);
    for (int64_t first = 0; first < tiles_; first += kChunkTiles) {
      const Chunk chunk = transform(first, std::min(kChunkTiles, tiles_ - first));
      parallel_for(kWinogradPlanes * blocks_, [&](int64_t task) {
        multiply(chunk, task / blocks_, task % blocks_, 0, groups_, first > 0, sums,
                 task % blocks_ * gemm_.nr);
      });
    }
    parallel_for(s_.K, [&](int64_t k) { finish(sums, k, k, 0, s_.C); });
  }

 private:
  // V: (planes, blocks of nr channels, tiles, nr); D: (planes, groups, tiles, lanes)
  struct Chunk {
    int64_t tiles;
    Tensor v, d;
    int64_t v_plane, d_plane;
  };
  // M, or a part of it: (planes, rows, row)
  struct Sums {
    Tensor m;
    int64_t row, plane;
  };

  Sums make_sums(int64_t rows, int64_t columns) const {
    Sums sums{.m = {}, .row = round_up(columns, transforms_.lanes), .plane = 0};
    sums.plane = plane_stride(rows * sums.row);
    sums.m = Tensor(Shape{kWinogradPlanes * sums.plane});
    return sums;
  }

  // One chunk: each task's share of M lives only as long as it works.
  void run_at_once() const {
    const Chunk chunk = transform(0, tiles_);
    const int64_t groups_per_task = std::max<int64_t>(1, kRowsPerTask / group_),
                  parts = (groups_ + groups_per_task - 1) / groups_per_task;
    parallel_for(parts * blocks_, [&](int64_t task) {
      const int64_t block = task / parts, group0 = task % parts * groups_per_task,
                    group1 = std::min(groups_, group0 + groups_per_task);
      const int64_t k0 = group0 * group_, k1 = std::min(s_.K, group1 * group_),
                    c0 = block * gemm_.nr;
      const Sums sums = make_sums(k1 - k0, gemm_.nr);
      for (int64_t p = 0; p < kWinogradPlanes; ++p)
        multiply(chunk, p, block, group0, group1, false, sums, 0);
      for (int64_t k = k0; k < k1; ++k)
        finish(sums, k - k0, k, c0, std::min<int64_t>(s_.C, c0 + gemm_.nr));
    });
  }

  Chunk transform(int64_t first, int64_t count) const {
    Chunk chunk{.tiles = count,
                .v = {},
                .d = {},
                .v_plane = plane_stride(blocks_ * count * gemm_.nr),
                .d_plane = plane_stride(groups_ * count * transforms_.lanes)};
    chunk.v = Tensor(Shape{kWinogradPlanes * chunk.v_plane});
    chunk.d = Tensor(Shape{kWinogradPlanes * chunk.d_plane});
    parallel_for((count + kTransformTiles - 1) / kTransformTiles, [&](int64_t part) {
      const int64_t end = std::min(count, (part + 1) * kTransformTiles);
      for (int64_t t = part * kTransformTiles; t < end; ++t) {
        transforms_.input(grid_.at(first + t, x_, s_.pad), {.data = chunk.v.data() + t * gemm_.nr,
                                                            .plane = chunk.v_plane,
                                                            .width = gemm_.nr,
                                                            .block = count * gemm_.nr});
        transforms_.output_gradient(grid_.at(first + t, dy_, 0),
                                    {.data = chunk.d.data() + t * transforms_.lanes,
                                     .plane = chunk.d_plane,
                                     .width = group_,
                                     .block = count * transforms_.lanes});
      }
    });
    return chunk;
  }

  // Plane p of M for groups [group0, group1) of output channels and one block of input channels,
  // which begin at row 0 and `column` of sums.
  void multiply(const Chunk& chunk, int64_t p, int64_t block, int64_t group0, int64_t group1,
                bool add, const Sums& sums, int64_t column) const {
    const float* v = chunk.v.data() + p * chunk.v_plane + block * chunk.tiles * gemm_.nr;
    const float* d = chunk.d.data() + p * chunk.d_plane;
    float* m = sums.m.data() + p * sums.plane + column;
    const int n = static_cast<int>(std::min<int64_t>(gemm_.nr, s_.C - block * gemm_.nr));
    for (int64_t group = group0; group < group1; ++group)
      for (int64_t i = 0; i < group_ && group * group_ + i < s_.K; i += gemm_.mr) {
        const int64_t k = group * group_ + i;
        gemm_.outer({.a = d + group * chunk.tiles * transforms_.lanes + i,
                     .b = v,
                     .lda = transforms_.lanes,
                     .ldb = gemm_.nr,
                     .depth = chunk.tiles,
                     .c = m + (k - group0 * group_) * sums.row,
                     .ldc = sums.row,
                     .m = static_cast<int>(std::min<int64_t>(gemm_.mr, s_.K - k)),
                     .n = n,
                     .beta = add ? 1.0f : 0.0f});
      }
  }

  // dw[k][..][c0 .. c1) from row `row` of sums
  void finish(const Sums& sums, int64_t row, int64_t k, int64_t c0, int64_t c1) const {
    transforms_.weight_gradient(sums.m.data() + row * sums.row, sums.plane, beta_, s_.C, c1 - c0,
                                dw_ + k * 9 * s_.C + c0);
  }

  const Conv2dShape& s_;
  const ConvTiles& gemm_ = conv_tiles();
  const WinogradTransforms& transforms_ = winograd_transforms();
  const Images x_, dy_;
  const TileGrid grid_;
  const int64_t tiles_;
  const float beta_;
  float* const dw_;
  const int64_t group_, groups_,
      blocks_;  // output channels in a group, groups, blocks of nr input channels
};

}  // namespace

void winograd_backward_weights(const Conv2dShape& s, int64_t n0, int64_t n1, const float* x,
                               const float* dy, float beta, float* dw) {
  WeightGradient(s, n0, n1, x, dy, beta, dw).run();
}

}  // namespace expunge::kernels
