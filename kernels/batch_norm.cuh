#pragma once

#include "kernels/batch_norm_math.h"
#include "kernels/launch.h"
#include "kernels/vector.cuh"

// What a gradient of batch norm is made of, as kernels read it.
namespace expunge::kernels {

// y = a x + b of V channels
template <int V>
struct Lines {
  Floats<V> a, b;
};

template <class T>
struct GradientRows {
  int64_t C;
  NormPassing passing;
  // y is x where nobody needs it: it comes with x, and no branch stands before a load, behind which
  // compilers move those that follow
  const T *x, *y, *dy;
  const float *mean, *line;

  explicit GradientRows(const BatchNormGradient& t)
      : C(t.shape.C),
        passing(math::passing(t.shape.relu, t.y.at)),
        x(t.x.as<T>()),
        y(passing == NormPassing::by_output ? t.y.as<T>() : x),
        dy(t.dy.as<T>()),
        mean(t.mean),
        line(t.line) {}
  GradientRows() = default;

  // a and b of channels [c, c + V), where g asks for them
  template <int V>
  __device__ Floats<V> line_part(int64_t c, int part) const {
    if (passing != NormPassing::by_line) return {};
    return load_channels<V>(line + part * C + c);
  }
  // Elements [at, at + V) as they lie there: all of them on their way before one is used.
  template <int V>
  struct Row {
    Packed<V, T> x, y, dy;
  };
  template <int V>
  __device__ Row<V> row(int64_t at) const {
    return {load_packed<V>(x + at), load_packed<V>(y + at), load_packed<V>(dy + at)};
  }
  // Their gradient before the ReLU, where x is `in`.
  template <int V>
  __device__ Floats<V> g(const Row<V>& row, const Floats<V>& in, const Lines<V>& lines) const {
    Floats<V> d = floats_of(row.dy);
    if (passing == NormPassing::by_output) {
      const Floats<V> out = floats_of(row.y);
      for (int v = 0; v < V; ++v) d.v[v] = math::masked(d.v[v], out.v[v]);
    } else if (passing == NormPassing::by_line) {
      for (int v = 0; v < V; ++v)
        d.v[v] = math::masked<T>(d.v[v], math::NormLine{lines.a.v[v], lines.b.v[v]}(in.v[v]));
    }
    return d;
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

}  // namespace expunge::kernels
