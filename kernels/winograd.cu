#include "kernels/each.cuh"
#include "kernels/vector.cuh"
#include "kernels/winograd_cuda.h"
#include "kernels/winograd_math.h"
#include "kernels/winograd_tile.h"

// A thread a tile and V neighbouring channels: its pixels and its numbers of all planes are in
// registers, and neighbours in memory are neighbours in a warp.
namespace expunge::kernels::cuda {
namespace {

constexpr int kIn = kWinogradIn, kOut = kWinogradOut, kPlanes = kWinogradPlanes, kTaps = 9;
constexpr unsigned kThreads = 128;

// The Side x Side pixels of tile and channels i of (tiles, groups of V channels). Where there is
// none in the image, the place is that of one that is.
template <int Side, int V>
struct Window {
  int64_t row[Side];  // the channels' first number in pixel (row i, column 0)
  int column[Side];   // from there to column j
  bool row_inside[Side], column_inside[Side];

  __device__ Window(const TiledImages& images, int64_t i) {
    const Division tile = divided(i, static_cast<unsigned>(images.channels / V)),
                   in_image =
                       divided(tile.quotient, static_cast<unsigned>(images.down * images.across));
    const auto across = static_cast<unsigned>(images.across);
    const int y = static_cast<int>(in_image.remainder / across) * kOut - images.before,
              x = static_cast<int>(in_image.remainder % across) * kOut - images.before;
    const int64_t line = int64_t{images.columns} * images.channels,
                  first = in_image.quotient * images.rows * line + int64_t{V} * tile.remainder;
    EXPUNGE_UNROLL
    for (int s = 0; s < Side; ++s) {
      row_inside[s] = y + s >= 0 && y + s < images.rows;
      column_inside[s] = x + s >= 0 && x + s < images.columns;
      row[s] = first + (row_inside[s] ? y + s : 0) * line;
      column[s] = (column_inside[s] ? x + s : 0) * images.channels;
    }
  }
  __device__ int64_t at(int p) const { return row[p / Side] + column[p % Side]; }
  __device__ bool inside(int p) const { return row_inside[p / Side] && column_inside[p % Side]; }
};

// planes = T d T^T of the Side x Side pixels of each tile.
template <int V, int Side, auto kTransform>
struct ToPlanes {
  TiledImages images;
  int64_t plane;  // tiles x channels
  const float* from;
  float* planes;
  __device__ void operator()(int64_t i) const {
    const Window<Side, V> window(images, i);
    Floats<V> d[Side * Side], v[kPlanes];
    EXPUNGE_UNROLL
    for (int p = 0; p < Side * Side; ++p) {
      d[p] = load<V>(from + window.at(p));
      if (!window.inside(p)) d[p] = {};
    }
    math::both_ways<Side, kIn, kTransform>(d, v);
    EXPUNGE_UNROLL
    for (int p = 0; p < kPlanes; ++p) store(planes + p * plane + V * i, v[p]);
  }
};

template <int V>
struct Output {
  TiledImages images;
  int64_t plane;
  const float* planes;
  float beta;
  float* y;
  __device__ void operator()(int64_t i) const {
    Floats<V> d[kPlanes], sum[kOut * kOut];
    EXPUNGE_UNROLL
    for (int p = 0; p < kPlanes; ++p) d[p] = load<V>(planes + p * plane + V * i);
    math::both_ways<kIn, kOut, math::transform_output<Floats<V>>>(d, sum);
    const Window<kOut, V> window(images, i);
    EXPUNGE_UNROLL
    for (int p = 0; p < kOut * kOut; ++p)
      if (window.inside(p)) accumulate(beta, y + window.at(p), sum[p]);
  }
};

struct Weights {
  int64_t K, C;
  bool reversed;
  const float* w;
  float* planes;
  __device__ void operator()(int64_t i) const {
    const Division at = divided(i, static_cast<unsigned>(C));
    const float* first = w + at.quotient * kTaps * C + at.remainder;
    float taps[kTaps], u[kPlanes];
    EXPUNGE_UNROLL
    for (int t = 0; t < kTaps; ++t) taps[t] = first[(reversed ? kTaps - 1 - t : t) * C];
    math::both_ways<3, kIn, math::transform_weights<float>>(taps, u);
    EXPUNGE_UNROLL
    for (int p = 0; p < kPlanes; ++p) planes[p * K * C + i] = u[p];
  }
};

// Of number i of (36, K, C): part 0 becomes the sum of all.
struct AddParts {
  int64_t panel, parts;  // panel: K C
  float* planes;
  __device__ void operator()(int64_t i) const {
    const Division at = divided(i, static_cast<unsigned>(panel));
    float* of = planes + at.quotient * parts * panel + at.remainder;
    float sum = of[0];
    for (int64_t part = 1; part < parts; ++part) sum += of[part * panel];
    of[0] = sum;
  }
};

struct WeightGradient {
  int64_t C, plane;
  const float* planes;
  float beta;
  float* dw;
  __device__ void operator()(int64_t i) const {
    float d[kPlanes], g[kTaps];
    EXPUNGE_UNROLL
    for (int p = 0; p < kPlanes; ++p) d[p] = planes[p * plane + i];
    math::both_ways<kIn, 3, math::transform_weight_gradient<float>>(d, g);
    const Division at = divided(i, static_cast<unsigned>(C));
    float* first = dw + at.quotient * kTaps * C + at.remainder;
    EXPUNGE_UNROLL
    for (int t = 0; t < kTaps; ++t) accumulate<1>(beta, first + t * C, {g[t]});
  }
};

// f.operator()<V>(tiles x channels), V as many channels as a thread takes
template <class F>
void with_channels(const TiledImages& images, F f) {
  constexpr int kMost = 2;  // of four the numbers do not fit into registers
  const int64_t plane = images.plane();
  if (images.channels % kMost == 0)
    f.template operator()<kMost>(plane);
  else
    f.template operator()<1>(plane);
}

}  // namespace

void winograd_input(Stream stream, const TiledImages& images, const float* x, float* planes) {
  const StreamAt at = stream;
  with_channels(images, [&]<int V>(int64_t plane) {
    using To = ToPlanes<V, kIn, math::transform_input<Floats<V>>>;
    each<kThreads>(at, plane / V, To{images, plane, x, planes});
  });
}

void winograd_output_gradient(Stream stream, const TiledImages& images, const float* dy,
                              float* planes) {
  const StreamAt at = stream;
  with_channels(images, [&]<int V>(int64_t plane) {
    using To = ToPlanes<V, kOut, math::transform_output_gradient<Floats<V>>>;
    each<kThreads>(at, plane / V, To{images, plane, dy, planes});
  });
}

void winograd_output(Stream stream, const TiledImages& images, const float* planes, float beta,
                     float* y) {
  const StreamAt at = stream;
  with_channels(images, [&]<int V>(int64_t plane) {
    each<kThreads>(at, plane / V, Output<V>{images, plane, planes, beta, y});
  });
}

void winograd_weights(Stream stream, int64_t K, int64_t C, bool reversed, const float* w,
                      float* planes) {
  each<kThreads>(stream, K * C, Weights{K, C, reversed, w, planes});
}

void winograd_weight_gradient(Stream stream, int64_t K, int64_t C, int64_t parts, float* planes,
                              float beta, float* dw) {
  const StreamAt at = stream;
  const int64_t panel = K * C;
  if (parts > 1) each(at, kPlanes * panel, AddParts{panel, parts, planes});
  each<kThreads>(at, panel, WeightGradient{C, parts * panel, planes, beta, dw});
}

}  // namespace expunge::kernels::cuda
