#include "kernels/batch_norm.cuh"
#include "kernels/pool2d_math.h"

// Batch norm with max-pooling behind it (NormPool). A thread has V channels of a window: of the
// output and its gradient a quarter of the numbers is moved, and where the maximum was is a byte.
namespace expunge::kernels {
namespace {

template <int V, class T>
struct ApplyPooled {
  int64_t n;        // groups of all windows
  unsigned groups;  // C / V
  NormWindows windows;
  bool relu;
  const T* x;
  const float* line;
  T* y;
  uint8_t* which;

  static ApplyPooled of(const BatchNormApply& b) {
    const auto groups = static_cast<unsigned>(b.shape.C / V);
    return {b.pool.outputs(b.shape.pixels) * groups,
            groups,
            {static_cast<unsigned>(b.pool.width / 2)},
            b.shape.relu,
            b.x.as<T>(),
            b.line,
            b.y.as<T>(),
            b.pool.which};
  }
  __device__ void operator()(int64_t i) const {
    const auto [window, group] = divided(i, groups);
    const int64_t c = int64_t{V} * group, C = int64_t{V} * groups;
    const T* from = x + windows.first(window) * C + c;
    Packed<V, T> in[kNormWindow];
#pragma unroll
    for (int k = 0; k < kNormWindow; ++k) in[k] = load_packed<V>(from + windows.step(k) * C);
    const Lines<V> lines{load_channels<V>(line + c), load_channels<V>(line + C + c)};
    Floats<V> best{};
    Packed<V, uint8_t> at{};
#pragma unroll
    for (int k = 0; k < kNormWindow; ++k) {
      const Floats<V> of = floats_of(in[k]);
      for (int v = 0; v < V; ++v) {
        // as the output would have been stored
        const float out = to_float(from_float<T>(
            math::rectified(relu, math::NormLine{lines.a.v[v], lines.b.v[v]}(of.v[v]))));
        if (k == 0 || math::pool_better(out, best.v[v]))
          best.v[v] = out, at.v[v] = static_cast<uint8_t>(k);
      }
    }
    store(y + V * i, best);
    if (which != nullptr) *reinterpret_cast<Packed<V, uint8_t>*>(which + V * i) = at;
  }
};

template <int V, class T>
struct DifferentiatePooled {
  int64_t n;
  unsigned groups;
  GradientWindows<T> rows;
  float beta_dx;
  T* dx;
  const float* slopes;

  static DifferentiatePooled of(const SlopedGradient& from) {
    const BatchNormBackward& t = from.t;
    const auto groups = static_cast<unsigned>(t.in.shape.C / V);
    return {t.dx.at == nullptr ? 0 : t.in.pool.outputs(t.in.shape.pixels) * groups,
            groups,
            GradientWindows<T>(t.in),
            t.beta_dx,
            t.dx.as<T>(),
            from.slopes};
  }
  __device__ void operator()(int64_t i) const {
    const auto [window, group] = divided(i, groups);
    const int64_t c = int64_t{V} * group, C = int64_t{V} * groups;
    const auto row = rows.template row<V>(window, c);
    const Floats<V> a = load_channels<V>(slopes + c), b = load_channels<V>(slopes + C + c),
                    k0 = load_channels<V>(slopes + 2 * C + c);
    const Lines<V> lines{a, rows.template line_part<V>(c, 1)};
    T* to = dx + rows.windows.first(window) * C + c;
    rows.with(row, lines, [&](const Floats<V>&, const Floats<V>& g) {
#pragma unroll
      for (int k = 0; k < kNormWindow; ++k) {
        const Floats<V> in = floats_of(row.x[k]);
        Floats<V> d;
        for (int v = 0; v < V; ++v) {
          const float here = row.which.v[v] == k ? g.v[v] : 0.0f;
          d.v[v] = a.v[v] * here + b.v[v] * in.v[v] + k0.v[v];
        }
        accumulate(beta_dx, to + rows.windows.step(k) * C, d);
      }
    });
  }
};

}  // namespace

void apply_pooled(const StreamAt& stream, std::span<const BatchNormApply> of) {
  of_type(of[0].x.type, [&]<class T>(T) { each_group<ApplyPooled, T>(stream, of[0].shape.C, of); });
}

void differentiate_pooled(const StreamAt& stream, std::span<const SlopedGradient> of) {
  const BatchNormGradient& in = of[0].t.in;
  of_type(in.x.type,
          [&]<class T>(T) { each_group<DifferentiatePooled, T>(stream, in.shape.C, of); });
}

}  // namespace expunge::kernels
