#pragma once

#include <cstdint>

#include "core/hd.h"
#include "kernels/grad_alignment_math.h"
#include "kernels/optim_step_math.h"

// Candidate kernels for the update of unlearning, with the product's maths. Each body takes the
// thread's number and the number of threads, so that a plain loop on the host runs the same code
// and the same indexing (measure_first --host).
namespace expunge::gpu_bench {

// Traffic: the reads and writes of prob with next to no arithmetic, the ceiling of this pattern.
enum class Gate { none, conjunction, prob, focus, traffic };
template <Gate kGate>
inline constexpr bool kNeedsPhi =
    kGate == Gate::prob || kGate == Gate::focus || kGate == Gate::traffic;

// Values that look like gradients: a sum of four 16-bit uniforms of a hash, unit variance.
EXPUNGE_HD float draw(uint64_t seed, int64_t i) {
  uint64_t x = seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(i);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  x ^= x >> 31;
  const uint32_t sum =
      static_cast<uint32_t>((x & 0xFFFF) + ((x >> 16) & 0xFFFF) + ((x >> 32) & 0xFFFF) + (x >> 48));
  return (static_cast<float>(sum) - 131070.0f) * (1.7320508f / 65536.0f);
}

template <bool kStreaming>  // evict first: nothing here is read twice
EXPUNGE_HD float4 load(const float* x, int64_t i) {
  const float4* p = reinterpret_cast<const float4*>(x) + i;
#ifdef __CUDA_ARCH__
  if constexpr (kStreaming) return __ldcs(p);
#endif
  return *p;
}
template <bool kStreaming>
EXPUNGE_HD void store(float* x, int64_t i, const float4& y) {
  float4* p = reinterpret_cast<float4*>(x) + i;
#ifdef __CUDA_ARCH__
  if constexpr (kStreaming) {
    __stcs(p, y);
    return;
  }
#endif
  *p = y;
}

// The paper's step: squares, focus vector, gate, Adam along beta g_r + (1 - beta) g_f.
// Bytes per parameter: 48 where phi is needed, else 32.
struct UpdateArgs {
  int64_t n = 0;
  const float *g_f = nullptr, *g_r = nullptr;      // (n)
  float *v_f = nullptr, *v_r = nullptr;            // (n) untouched without phi
  float *p = nullptr, *m = nullptr, *s = nullptr;  // (n) parameters, Adam's moments
  math::PaperRule paper{0.9f, 0.1f};
  math::AdamRule adam{1e-2f, 0.9f, 0.999f, 1e-8f, 0.0f, 0.1f, 0.001f, false};
  float beta = 0.95f, q = 0.3f;
  bool reverse = false;  // from the end: what a writer before this left in the L2 comes first
};

template <Gate kGate>
EXPUNGE_HD void update_one(const UpdateArgs& a, float g_f, float g_r, float& v_f, float& v_r,
                           float& p, float& m, float& s) {
  if constexpr (kGate == Gate::traffic) {
    v_f += g_f;
    v_r += g_r;
    m += g_f;
    s += g_r;
    p += g_r;
  } else {
    float w = 1.0f;
    if constexpr (kGate == Gate::conjunction) w = math::gate_and(g_f, g_r);
    if constexpr (kNeedsPhi<kGate>) {
      const float half_f = math::paper_half(a.paper, g_f, v_f);
      const float half_r = math::paper_half(a.paper, g_r, v_r);
      w = math::focus(half_f, half_r);
      if constexpr (kGate == Gate::prob) w = math::gate_prob(w, a.q);
    }
    math::adam(a.adam, w * math::direction(a.beta, g_f, g_r), p, m, s);
  }
}

template <Gate kGate>
EXPUNGE_HD void update_four(const UpdateArgs& a, const float4& g_f, const float4& g_r, float4& v_f,
                            float4& v_r, float4& p, float4& m, float4& s) {
  update_one<kGate>(a, g_f.x, g_r.x, v_f.x, v_r.x, p.x, m.x, s.x);
  update_one<kGate>(a, g_f.y, g_r.y, v_f.y, v_r.y, p.y, m.y, s.y);
  update_one<kGate>(a, g_f.z, g_r.z, v_f.z, v_r.z, p.z, m.z, s.z);
  update_one<kGate>(a, g_f.w, g_r.w, v_f.w, v_r.w, p.w, m.w, s.w);
}

// kVectors float4 of each array are loaded before the first is used.
template <Gate kGate, int kVectors, bool kStreaming>
EXPUNGE_HD void update_body(const UpdateArgs& a, int64_t thread, int64_t threads) {
  const int64_t vectors = a.n / 4;
  for (int64_t first = thread; first < vectors; first += kVectors * threads) {
    float4 g_f[kVectors], g_r[kVectors], v_f[kVectors], v_r[kVectors], p[kVectors], m[kVectors],
        s[kVectors];
#pragma unroll
    for (int u = 0; u < kVectors; ++u) {
      const int64_t j = first + u * threads;
      if (j >= vectors) continue;
      const int64_t i = a.reverse ? vectors - 1 - j : j;
      g_f[u] = load<kStreaming>(a.g_f, i);
      g_r[u] = load<kStreaming>(a.g_r, i);
      if constexpr (kNeedsPhi<kGate>) {
        v_f[u] = load<kStreaming>(a.v_f, i);
        v_r[u] = load<kStreaming>(a.v_r, i);
      }
      p[u] = load<kStreaming>(a.p, i);
      m[u] = load<kStreaming>(a.m, i);
      s[u] = load<kStreaming>(a.s, i);
    }
#pragma unroll
    for (int u = 0; u < kVectors; ++u) {
      const int64_t j = first + u * threads;
      if (j >= vectors) continue;
      const int64_t i = a.reverse ? vectors - 1 - j : j;
      update_four<kGate>(a, g_f[u], g_r[u], v_f[u], v_r[u], p[u], m[u], s[u]);
      if constexpr (kNeedsPhi<kGate>) {
        store<kStreaming>(a.v_f, i, v_f[u]);
        store<kStreaming>(a.v_r, i, v_r[u]);
      }
      store<kStreaming>(a.p, i, p[u]);
      store<kStreaming>(a.m, i, m[u]);
      store<kStreaming>(a.s, i, s[u]);
    }
  }
  const int64_t i = 4 * vectors + thread;  // the last n mod 4
  if (i < a.n) {
    float unused_f = 0.0f, unused_r = 0.0f;
    float& v_f = kNeedsPhi<kGate> ? a.v_f[i] : unused_f;
    float& v_r = kNeedsPhi<kGate> ? a.v_r[i] : unused_r;
    update_one<kGate>(a, a.g_f[i], a.g_r[i], v_f, v_r, a.p[i], a.m[i], a.s[i]);
  }
}

// The whole update from the k batch gradients of both objectives: mean and variance in two passes
// over registers, SE^2 = M2 / (k (k - 1)), phi, mask, masked SGD. 8 k + 16 bytes per parameter and
// one byte of mask for four.
template <int k>
struct BatchArgs {
  int64_t n = 0;  // a multiple of 4
  const float* g_f[k] = {};
  const float* g_r[k] = {};
  float *p = nullptr, *v = nullptr;  // (n) parameters, momentum
  uint8_t* mask = nullptr;           // (n / 4) bit j: parameter 4 i + j moves
  math::SgdRule sgd{1e-2f, 0.9f, 5e-4f, false};
  float beta = 0.95f, q = 0.5f;
};

template <int k>
EXPUNGE_HD void mean_and_error(const float* g, float& mean, float& squared_error) {
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < k; ++j) sum += g[j];
  mean = sum * (1.0f / k);
  float m2 = 0.0f;
#pragma unroll
  for (int j = 0; j < k; ++j) m2 += (g[j] - mean) * (g[j] - mean);
  squared_error = m2 * (1.0f / (k * (k - 1)));
}

template <int k>
EXPUNGE_HD bool batch_one(const BatchArgs<k>& a, const float* g_f, const float* g_r, float& p,
                          float& v) {
  float m_f, m_r, e_f, e_r;
  mean_and_error<k>(g_f, m_f, e_f);
  mean_and_error<k>(g_r, m_r, e_r);
  const float phi = math::focus(math::normal_half(math::signal(m_f, e_f)),
                                math::normal_half(math::signal(m_r, e_r)));
  const float w = math::gate_prob(phi, a.q);
  math::sgd(a.sgd, w * math::direction(a.beta, m_f, m_r), p, v);
  return w != 0.0f;
}

template <int k, bool kStreaming>
EXPUNGE_HD void batch_body(const BatchArgs<k>& a, int64_t thread, int64_t threads) {
  for (int64_t i = thread; i < a.n / 4; i += threads) {
    float g_f[4][k], g_r[4][k];
#pragma unroll
    for (int j = 0; j < k; ++j) {
      const float4 f = load<kStreaming>(a.g_f[j], i), r = load<kStreaming>(a.g_r[j], i);
      g_f[0][j] = f.x, g_f[1][j] = f.y, g_f[2][j] = f.z, g_f[3][j] = f.w;
      g_r[0][j] = r.x, g_r[1][j] = r.y, g_r[2][j] = r.z, g_r[3][j] = r.w;
    }
    float4 p = load<kStreaming>(a.p, i), v = load<kStreaming>(a.v, i);
    const bool x = batch_one<k>(a, g_f[0], g_r[0], p.x, v.x);
    const bool y = batch_one<k>(a, g_f[1], g_r[1], p.y, v.y);
    const bool z = batch_one<k>(a, g_f[2], g_r[2], p.z, v.z);
    const bool w = batch_one<k>(a, g_f[3], g_r[3], p.w, v.w);
    store<kStreaming>(a.p, i, p);
    store<kStreaming>(a.v, i, v);
    a.mask[i] = static_cast<uint8_t>(x | (y << 1) | (z << 2) | (w << 3));
  }
}

// c gradients join the running (mean, M2) of `before` earlier ones by Chan's formula, the state
// read and written once: 4 + 16 / c bytes per parameter and gradient.
//   delta = mean_c - mean,  mean += delta c / n,  M2 += M2_c + delta^2 before c / n,  n = before +
//   c
template <int c>
struct ChunkArgs {
  int64_t n = 0;  // a multiple of 4
  const float* g[c] = {};
  float *mean = nullptr, *m2 = nullptr;  // (n)
  float before = 0.0f;
};

template <int c>
EXPUNGE_HD void chunk_one(float before, const float* g, float& mean, float& m2) {
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < c; ++j) sum += g[j];
  const float mean_c = sum * (1.0f / c);
  float m2_c = 0.0f;
#pragma unroll
  for (int j = 0; j < c; ++j) m2_c += (g[j] - mean_c) * (g[j] - mean_c);
  const float share = c / (before + c), delta = mean_c - mean;
  mean += delta * share;
  m2 += m2_c + delta * delta * (before * share);
}

template <int c, bool kStreaming>
EXPUNGE_HD void chunk_body(const ChunkArgs<c>& a, int64_t thread, int64_t threads) {
  for (int64_t i = thread; i < a.n / 4; i += threads) {
    float g[4][c];
#pragma unroll
    for (int j = 0; j < c; ++j) {
      const float4 x = load<kStreaming>(a.g[j], i);
      g[0][j] = x.x, g[1][j] = x.y, g[2][j] = x.z, g[3][j] = x.w;
    }
    float4 mean = load<kStreaming>(a.mean, i), m2 = load<kStreaming>(a.m2, i);
    chunk_one<c>(a.before, g[0], mean.x, m2.x);
    chunk_one<c>(a.before, g[1], mean.y, m2.y);
    chunk_one<c>(a.before, g[2], mean.z, m2.z);
    chunk_one<c>(a.before, g[3], mean.w, m2.w);
    store<kStreaming>(a.mean, i, mean);
    store<kStreaming>(a.m2, i, m2);
  }
}

}  // namespace expunge::gpu_bench
