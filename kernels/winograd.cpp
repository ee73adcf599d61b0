#include "kernels/winograd.h"

#include <algorithm>
#include <array>

#include "core/function_ref.h"
#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/conv_tile.h"
#include "kernels/winograd_grid.h"

// Forward, and the gradient by x, which is the same convolution of dy with the taps reversed and
// pad' = 2 - pad. Inputs of a chunk of tiles become 36 planes V (tiles, C), weights of a block of
// output channels 36 panels U (C, nr); M = V U plane by plane, then back to pixels.
namespace expunge::kernels {
namespace {

// A layer with no more tiles than this is one chunk whose channel blocks are shared out; with more,
// chunks of tiles are, and the panels of all blocks are made beforehand. A chunk's planes are to
// stay in the L2 cache.
constexpr int64_t kSharedTiles = 256, kChunkFloats = 160 * 1024, kTransformTiles = 4;

struct Convolution {
  Images in;
  Images out;
  int64_t N, pad;
  const float* bias;  // (out.channels) or null
  float beta;
  float* result;  // out.data
  ConvEpilogue then{};
};

class Product {
 public:
  // make_panels(first output channel, count, u, plane): the 36 panels of a block
  using MakePanels = FunctionRef<void(int64_t k0, int n, float* u, int64_t plane)>;

  Product(const Convolution& convolution, MakePanels make_panels)
      : c_(convolution),
        make_panels_(make_panels),
        grid_(c_.out.rows, c_.out.columns),
        tiles_(c_.N * grid_.per_image()),
        row_(round_up(c_.in.channels, transforms_.lanes)),
        blocks_((c_.out.channels + gemm_.nr - 1) / gemm_.nr),
        panel_plane_(plane_stride(c_.in.channels * gemm_.nr)) {}

  void run() const {
    if (tiles_ <= kSharedTiles) return run_chunk(0, tiles_, nullptr);
    const Tensor panels(Shape{blocks_ * kWinogradPlanes * panel_plane_});
    parallel_for(blocks_, [&](int64_t block) { make_panels(block, panels_of(panels, block)); });
    const int64_t per_tile = kWinogradPlanes * (row_ + gemm_.nr);
    const int64_t chunk = std::clamp<int64_t>(kChunkFloats / per_tile / gemm_.mr, 2, 8) * gemm_.mr;
    parallel_for((tiles_ + chunk - 1) / chunk, [&](int64_t i) {
      run_chunk(i * chunk, std::min(chunk, tiles_ - i * chunk), &panels);
    });
  }

 private:
  float* panels_of(const Tensor& panels, int64_t block) const {
    return panels.data() + block * kWinogradPlanes * panel_plane_;
  }
  int columns(int64_t block) const {
    return static_cast<int>(std::min<int64_t>(gemm_.nr, c_.out.channels - block * gemm_.nr));
  }
  void make_panels(int64_t block, float* u) const {
    make_panels_(block * gemm_.nr, columns(block), u, panel_plane_);
  }

  // Tiles [first, first + count); panels null: made here, block by block.
  void run_chunk(int64_t first, int64_t count, const Tensor* panels) const {
    const int64_t plane = plane_stride(count * row_);
    const Tensor inputs(Shape{kWinogradPlanes * plane});
    parallel_for((count + kTransformTiles - 1) / kTransformTiles, [&](int64_t part) {
      const int64_t end = std::min(count, (part + 1) * kTransformTiles);
      for (int64_t t = part * kTransformTiles; t < end; ++t)
        transforms_.input(
            grid_.at(first + t, c_.in, c_.pad),
            {.data = inputs.data() + t * row_, .plane = plane, .width = row_, .block = 0});
    });
    parallel_for(blocks_, [&](int64_t block) {
      Tensor own;
      if (panels == nullptr) {
        own = Tensor(Shape{kWinogradPlanes * panel_plane_});
        make_panels(block, own.data());
      }
      run_block(first, count, inputs.data(), plane, block,
                panels != nullptr ? panels_of(*panels, block) : own.data());
    });
  }

  void run_block(int64_t first, int64_t count, const float* v, int64_t v_plane, int64_t block,
                 const float* u) const {
    const int64_t m_plane = plane_stride(count * gemm_.nr);
    const Tensor products(Shape{kWinogradPlanes * m_plane});
    for (int64_t p = 0; p < kWinogradPlanes; ++p)
      multiply(count, v + p * v_plane, u + p * panel_plane_, products.data() + p * m_plane);
    const int64_t k0 = block * gemm_.nr;
    for (int64_t t = 0; t < count; ++t) {
      const ImageTile tile = grid_.at(first + t, c_.out, 0);
      transforms_.output(products.data() + t * gemm_.nr, m_plane,
                         c_.bias != nullptr ? c_.bias + k0 : nullptr, c_.beta, k0, columns(block),
                         tile, c_.result + (tile.image - c_.out.data));
      if (c_.then.line != nullptr) finish(tile, k0, columns(block));
    }
  }

  // Outputs [k, k + n) of the pixels of a tile.
  void finish(const ImageTile& tile, int64_t k, int n) const {
    float* image = c_.result + (tile.image - c_.out.data);
    std::array<float*, kWinogradOut * kWinogradOut> pixels;
    int count = 0;
    for (int64_t y = tile.y; y < std::min(tile.y + kWinogradOut, tile.rows); ++y)
      for (int64_t x = tile.x; x < std::min(tile.x + kWinogradOut, tile.columns); ++x)
        pixels[static_cast<size_t>(count++)] = image + (y * tile.columns + x) * tile.channels + k;
    c_.then(pixels.data(), count, k, n);
  }

  // m (count, nr) = v (count, C) u (C, nr)
  void multiply(int64_t count, const float* v, const float* u, float* m) const {
    static constexpr int64_t kWhole[] = {0};
    RowTile tile{};
    tile.segment = kWhole, tile.segments = 1, tile.length = c_.in.channels;
    tile.panel = u, tile.n = gemm_.nr;
    for (int64_t t = 0; t < count; t += gemm_.mr) {
      tile.m = static_cast<int>(std::min<int64_t>(gemm_.mr, count - t));
      for (int i = 0; i < tile.m; ++i) {
        tile.a[i] = v + (t + i) * row_;
        tile.c[i] = m + (t + i) * gemm_.nr;
      }
      gemm_.rows(tile);
    }
  }

  const Convolution& c_;
  MakePanels make_panels_;
  const ConvTiles& gemm_ = conv_tiles();
  const WinogradTransforms& transforms_ = winograd_transforms();
  const TileGrid grid_;
  const int64_t tiles_, row_, blocks_, panel_plane_;
};

}  // namespace

bool winograd_applies(const Conv2dShape& s) {
  return s.R == 3 && s.S == 3 && s.stride == 1 && s.pad <= 2;
}

void winograd(const Conv2dShape& s, const float* x, const float* w, const float* bias,
              const ConvEpilogue& then, float* y) {
  const int width = conv_tiles().nr;
  const auto make_panels = [&](int64_t k0, int n, float* u, int64_t plane) {
    winograd_transforms().weights(w, s.C, k0, n, width, u, plane);
  };
  Product({.in = {x, s.H, s.W, s.C},
           .out = {y, s.P(), s.Q(), s.K},
           .N = s.N,
           .pad = s.pad,
           .bias = bias,
           .beta = 0,
           .result = y,
           .then = then},
          make_panels)
      .run();
}

void winograd_backward_data(const Conv2dShape& s, const float* dy, const float* w, float beta,
                            float* dx) {
  const int width = conv_tiles().nr;
  const auto make_panels = [&](int64_t c0, int n, float* u, int64_t plane) {
    winograd_transforms().weights_reversed(w, s.K, s.C, c0, n, width, u, plane);
  };
  Product({.in = {dy, s.P(), s.Q(), s.K},
           .out = {dx, s.H, s.W, s.C},
           .N = s.N,
           .pad = 2 - s.pad,
           .bias = nullptr,
           .beta = beta,
           .result = dx},
          make_panels)
      .run();
}

}  // namespace expunge::kernels
