#pragma once

#include <span>

#include "kernels/batch_norm_math.h"
#include "kernels/beside.cuh"
#include "kernels/vector.cuh"

// What a gradient of batch norm is made of, as kernels read it.
namespace expunge::kernels {

// y = a x + b of V channels
template <int V>
struct Lines {
  Floats<V> a, b;
};

// Of its channels.
struct GradientChannels {
  int64_t C;
  NormPassing passing;
  const float *mean, *line;

  explicit GradientChannels(const BatchNormGradient& t)
      : C(t.shape.C), passing(math::passing(t.shape.relu, t.y.at)), mean(t.mean), line(t.line) {}
  GradientChannels() = default;

  // a and b of channels [c, c + V), where g asks for them
  template <int V>
  __device__ Floats<V> line_part(int64_t c, int part) const {
    if (passing != NormPassing::by_line) return {};
    return load_channels<V>(line + part * C + c);
  }
  // What passes where x is `in`.
  template <class T, int V>
  __device__ void mask_by_line(Floats<V>& d, const Floats<V>& in, const Lines<V>& lines) const {
    if (passing != NormPassing::by_line) return;
    for (int v = 0; v < V; ++v)
      d.v[v] = math::masked<T>(d.v[v], math::NormLine{lines.a.v[v], lines.b.v[v]}(in.v[v]));
  }
};

// A row: a pixel.
template <class T>
struct GradientRows : GradientChannels {
  using Element = T;
  static constexpr int kAtOnce = 2;  // whose loads are on their way together
  // y is x where nobody needs it: it comes with x, and no branch stands before a load, behind which
  // compilers move those that follow
  const T *x, *y, *dy;

  explicit GradientRows(const BatchNormGradient& t)
      : GradientChannels(t),
        x(t.x.as<T>()),
        y(passing == NormPassing::by_output ? t.y.as<T>() : x),
        dy(t.dy.as<T>()) {}
  GradientRows() = default;

  // Of channels [c, c + V), as they lie there: all of them on their way before one is used.
  template <int V>
  struct Row {
    Packed<V, T> x, y, dy;
  };
  template <int V>
  __device__ Row<V> row(int64_t pixel, int64_t c) const {
    return row<V>(pixel * C + c);
  }
  template <int V>
  __device__ Row<V> row(int64_t at) const {
    return {load_packed<V>(x + at), load_packed<V>(y + at), load_packed<V>(dy + at)};
  }
  // take(x, g): of the row, with its gradient before the ReLU
  template <int V, class Take>
  __device__ void with(const Row<V>& row, const Lines<V>& lines, Take take) const {
    const Floats<V> in = floats_of(row.x);
    Floats<V> d = floats_of(row.dy);
    if (passing == NormPassing::by_output) {
      const Floats<V> out = floats_of(row.y);
      for (int v = 0; v < V; ++v) d.v[v] = math::masked(d.v[v], out.v[v]);
    } else {  // two branches in a row, and nvcc loads y in the first of them
      mask_by_line<T>(d, in, lines);
    }
    take(in, d);
  }
};

// Windows of NormPool, in the order of their outputs.
struct NormWindows {
  unsigned half;  // windows of a row of them
  __device__ int64_t first(int64_t o) const {
    return 4 * o - 2 * int64_t{divided(o, half).remainder};
  }
  // From its first pixel to pixel k.
  __device__ int64_t step(int k) const { return k / 2 * (2 * int64_t{half}) + k % 2; }
};
constexpr int kNormWindow = static_cast<int>(NormPool::kWindow);

// A row: a window.
template <class T>
struct GradientWindows : GradientChannels {
  using Element = T;
  static constexpr int kAtOnce = 1;
  NormWindows windows;
  const T *x, *dy;
  const uint8_t* which;

  explicit GradientWindows(const BatchNormGradient& t)
      : GradientChannels(t),
        windows{static_cast<unsigned>(t.pool.width / 2)},
        x(t.x.as<T>()),
        dy(t.dy.as<T>()),
        which(t.pool.which) {}
  GradientWindows() = default;

  template <int V>
  struct Row {
    Packed<V, T> x[kNormWindow], dy;
    Packed<V, uint8_t> which;
  };
  template <int V>
  __device__ Row<V> row(int64_t window, int64_t c) const {
    Row<V> row;
    const T* from = x + windows.first(window) * C + c;
#pragma unroll
    for (int k = 0; k < kNormWindow; ++k) row.x[k] = load_packed<V>(from + windows.step(k) * C);
    row.dy = load_packed<V>(dy + window * C + c);
    row.which = load_packed<V>(which + window * C + c);
    return row;
  }
  // take(x, g): of the maxima; elsewhere g is 0
  template <int V, class Take>
  __device__ void with(const Row<V>& row, const Lines<V>& lines, Take take) const {
    Floats<V> in = floats_of(row.x[0]), d = floats_of(row.dy);
#pragma unroll
    for (int k = 1; k < kNormWindow; ++k) {
      const Floats<V> other = floats_of(row.x[k]);
      for (int v = 0; v < V; ++v)
        if (row.which.v[v] == k) in.v[v] = other.v[v];
    }
    mask_by_line<T>(d, in, lines);
    take(in, d);
  }
};

// dx = a g + b x + k of each batch's channels: (batches, {a, b, k}, C)
constexpr int64_t kSlopes = 3;
inline size_t slopes_bytes(const Batches<BatchNormBackward>& of) {  // whole accesses
  const auto floats = of.size() * static_cast<size_t>(kSlopes * of[0].in.shape.C);
  return (floats * sizeof(float) + kAccess - 1) / kAccess * kAccess;
}

// The sums of each batch, and from them its slopes and the gradients of gamma and beta.
void find_slopes(const StreamAt& stream, const Batches<BatchNormBackward>& of, float* slopes,
                 void* workspace);

// What a gradient is made from, with its slopes.
struct SlopedGradient {
  BatchNormBackward t;
  const float* slopes;
};

// Body<V, T> for each group of V channels of each pixel or window, side by side for all batches
template <template <int, class> class Body, class T, class Batch>
void each_group(const StreamAt& stream, int64_t C, std::span<const Batch> of) {
  const auto run = [&]<class Of>(Of) {
    EachBeside<Of> bodies;
    for (const Batch& batch : of) bodies.add(Of::of(batch));
    bodies.run(stream);
  };
  constexpr int V = kVector<T>;
  C % V == 0 ? run(Body<V, T>{}) : run(Body<1, T>{});
}

// Where batches are pooled (batch_norm_pool.cu).
void apply_pooled(const StreamAt& stream, std::span<const BatchNormApply> of);
void differentiate_pooled(const StreamAt& stream, std::span<const SlopedGradient> of);

}  // namespace expunge::kernels
