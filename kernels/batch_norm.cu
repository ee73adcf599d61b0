#include "kernels/batch_norm.cuh"
#include "kernels/each.cuh"

namespace expunge::kernels::cuda {
namespace {

struct Known {
  BatchNormKnown t;
  __device__ void operator()(int64_t c) const { math::known_statistics(t, c); }
};

// V neighbouring channels of a pixel. scales: the residual, by a line of its own; apart, since its
// numbers take registers.
template <int V, class T, bool scales>
struct ApplyAs {
  int64_t n;        // groups of all pixels
  unsigned groups;  // C / V
  bool relu;
  const T* x;
  const float* line;
  const T* residual;
  const float* residual_line;
  T* y;
  static ApplyAs of(const BatchNormApply& b) {
    const auto groups = static_cast<unsigned>(b.shape.C / V);
    return {b.shape.pixels * groups, groups,          b.shape.relu, b.x.as<T>(), b.line,
            b.residual.as<T>(),      b.residual_line, b.y.as<T>()};
  }
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<V>(i, groups);
    Floats<V> out = load<V>(x + V * i), more{};
    if (residual != nullptr) more = load<V>(residual + V * i);
    const int64_t C = int64_t{V} * groups;
    const Floats<V> a = load_channels<V>(line + c), b = load_channels<V>(line + C + c);
    if constexpr (scales) {
      const Floats<V> ra = load_channels<V>(residual_line + c),
                      rb = load_channels<V>(residual_line + C + c);
      for (int v = 0; v < V; ++v)  // as it would have been stored
        more.v[v] = to_float(from_float<T>(math::NormLine{ra.v[v], rb.v[v]}(more.v[v])));
    }
    for (int v = 0; v < V; ++v) {
      out.v[v] = math::NormLine{a.v[v], b.v[v]}(out.v[v]);
      if (residual != nullptr) out.v[v] += more.v[v];
      out.v[v] = math::rectified(relu, out.v[v]);
    }
    store(y + V * i, out);
  }
};

template <int V, class T>
using Apply = ApplyAs<V, T, false>;
template <int V, class T>
using ApplyScaled = ApplyAs<V, T, true>;

template <int V, class T>
struct Backward {
  int64_t n;
  unsigned groups;
  GradientRows<T> rows;
  float beta_dx;
  T* dx;
  float beta_residual;
  T* dresidual;
  const float* slopes;

  static Backward of(const SlopedGradient& from) {
    const BatchNormBackward& t = from.t;
    const auto groups = static_cast<unsigned>(t.in.shape.C / V);
    const bool nobody = t.dx.at == nullptr && t.dresidual.at == nullptr;
    return {nobody ? 0 : t.in.shape.pixels * groups,
            groups,
            GradientRows<T>(t.in),
            t.beta_dx,
            t.dx.as<T>(),
            t.beta_residual,
            t.dresidual.as<T>(),
            from.slopes};
  }
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<V>(i, groups), C = int64_t{V} * groups;
    const auto row = rows.template row<V>(V * i);
    const Floats<V> a = load_channels<V>(slopes + c), b = load_channels<V>(slopes + C + c),
                    k = load_channels<V>(slopes + 2 * C + c);
    // a of the line is gamma invstd as well, to the same bit
    const Lines<V> lines{a, rows.template line_part<V>(c, 1)};
    rows.with(row, lines, [&](const Floats<V>& in, const Floats<V>& g) {
      Floats<V> d;
      for (int v = 0; v < V; ++v) d.v[v] = a.v[v] * g.v[v] + b.v[v] * in.v[v] + k.v[v];
      if (dresidual != nullptr) accumulate(beta_residual, dresidual + V * i, g);
      if (dx != nullptr) accumulate(beta_dx, dx + V * i, d);
    });
  }
};

}  // namespace

void batch_norm_known(Stream stream, const BatchNormKnown& of) {
  each(stream, of.C, Known{of});
}

void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of) {
  const StreamAt at = stream;
  if (of[0].pool.on()) return apply_pooled(at, of);
  const std::span<const BatchNormApply> all(of);
  const int64_t C = of[0].shape.C;
  of_type(of[0].x.type, [&]<class T>(T) {
    of[0].residual_line == nullptr ? each_group<Apply, T>(at, C, all)
                                   : each_group<ApplyScaled, T>(at, C, all);
  });
}

void batch_norm_backward(Stream stream, const Batches<BatchNormBackward>& of, void* workspace) {
  const StreamAt at = stream;
  auto* slopes = static_cast<float*>(workspace);
  find_slopes(at, of, slopes, static_cast<char*>(workspace) + slopes_bytes(of));
  const int64_t C = of[0].in.shape.C;
  SlopedGradient all[kMostBatches]{};
  for (size_t k = 0; k < of.size(); ++k)
    all[k] = {of[k], slopes + static_cast<int64_t>(k) * kSlopes * C};
  const std::span<const SlopedGradient> sloped(all, of.size());
  if (of[0].in.pool.on()) return differentiate_pooled(at, sloped);
  of_type(of[0].in.x.type, [&]<class T>(T) { each_group<Backward, T>(at, C, sloped); });
}

}  // namespace expunge::kernels::cuda
