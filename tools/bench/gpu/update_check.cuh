#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/bench/gpu/device.cuh"
#include "tools/bench/gpu/update_kernels.cuh"
#include "tools/bench/gpu/update_reference.h"

// Checks the kernels against double: fresh random inputs, every element of every output compared.
// The update's outputs overwrite its inputs, so there is nothing to poison: an element left out
// keeps its old value, which no tolerance here lets through. The mask is poisoned, and guard values
// behind every array must survive. Tolerances: a few float roundings of the terms of each sum,
// gradients being about 1e-3, their squares 1e-6, parameters 0.05.
namespace expunge::gpu_bench {

inline constexpr float kGuard = 12345.0f;
inline constexpr int kGuards = 64;

// Arrays as the kernel sees them: on the device, or for --host the vectors themselves.
class Mirror {
 public:
  explicit Mirror(bool host) : host_(host) {}
  float* add(std::vector<float>& x) {
    x.resize(x.size() + kGuards, kGuard);
    vectors_.push_back(&x);
    if (host_) return x.data();
    device_.push_back(std::make_unique<DeviceArray<>>(x.size()));
    BENCH_CUDA(cudaMemcpy(device_.back()->get(), x.data(), x.size() * sizeof(float),
                          cudaMemcpyHostToDevice));
    BENCH_CUDA(cudaDeviceSynchronize());  // the kernel's stream does not wait for this copy
    return device_.back()->get();
  }
  // Brings the results to the vectors; false if a guard changed.
  bool finish() {
    bool intact = true;
    for (size_t i = 0; i < vectors_.size(); ++i) {
      std::vector<float>& x = *vectors_[i];
      if (!host_)
        BENCH_CUDA(cudaMemcpy(x.data(), device_[i]->get(), x.size() * sizeof(float),
                              cudaMemcpyDeviceToHost));
      for (size_t j = x.size() - kGuards; j < x.size(); ++j) intact &= x[j] == kGuard;
      x.resize(x.size() - kGuards);
    }
    return intact;
  }

 private:
  bool host_;
  std::vector<std::vector<float>*> vectors_;
  std::vector<std::unique_ptr<DeviceArray<>>> device_;
};

inline std::vector<float> normal(uint64_t seed, int64_t n, float scale, float shift = 0.0f) {
  std::vector<float> x(n);
  for (int64_t i = 0; i < n; ++i) x[i] = shift + scale * draw(seed, i);
  return x;
}
inline std::vector<float> squares(uint64_t seed, int64_t n, float scale) {
  std::vector<float> x(n);
  for (int64_t i = 0; i < n; ++i) x[i] = scale * (0.25f + std::abs(draw(seed, i)));
  return x;
}

inline void report_check(const std::string& name, int64_t n, uint64_t seed, bool intact,
                         int64_t near_q,
                         const std::vector<std::pair<const char*, Comparison>>& all) {
  bool ok = intact;
  std::string errors;
  for (const auto& [array, comparison] : all) {
    ok &= comparison.ok();
    char text[128];
    std::snprintf(text, sizeof text, ", \"%s_over_tolerance\": %.3g, \"%s_rel_norm\": %.3g", array,
                  comparison.worst(), array, comparison.relative_norm());
    errors += text;
  }
  all_ok &= ok;
  emit("check." + name,
       "\"ok\": %s, \"n\": %lld, \"seed\": %llu, \"guards\": %s, \"near_q\": %lld%s",
       ok ? "true" : "false", static_cast<long long>(n), static_cast<unsigned long long>(seed),
       intact ? "true" : "false", static_cast<long long>(near_q), errors.c_str());
}

// run(args) does the update, on the device or the host.
template <Gate kGate>
void check_update(const std::string& name, bool host, int64_t n, uint64_t seed, bool reverse,
                  const std::function<void(const UpdateArgs&)>& run) {
  std::vector<float> g_f = normal(seed, n, 1e-3f, 2e-4f), g_r = normal(seed + 1, n, 1e-3f, -1e-4f);
  for (int64_t i = 0; i < n; i += 61) g_f[i] = 0.0f;
  for (int64_t i = 0; i < n; i += 97) g_r[i] = 0.0f;
  std::vector<float> v_f = squares(seed + 2, n, 1e-6f), v_r = squares(seed + 3, n, 1e-6f);
  std::vector<float> p = normal(seed + 4, n, 0.05f), m = normal(seed + 5, n, 1e-3f);
  std::vector<float> s = squares(seed + 6, n, 1e-6f);
  const auto g_f0 = g_f, g_r0 = g_r, v_f0 = v_f, v_r0 = v_r, p0 = p, m0 = m, s0 = s;
  Mirror mirror(host);
  UpdateArgs a;
  a.n = n;
  a.reverse = reverse;
  a.g_f = mirror.add(g_f), a.g_r = mirror.add(g_r), a.v_f = mirror.add(v_f);
  a.v_r = mirror.add(v_r), a.p = mirror.add(p), a.m = mirror.add(m), a.s = mirror.add(s);
  run(a);
  const bool intact = mirror.finish() && g_f == g_f0 && g_r == g_r0;

  Comparison cv(1e-13, 1e-6), cp(1e-7, 1e-6), cm(2e-9, 2e-6), cs(1e-15, 2e-6);
  const double paper[2] = {a.paper.newest, a.paper.kept};
  int64_t near_q = 0;
  for (int64_t i = 0; i < n; ++i) {
    Parameter x{v_f0[i], v_r0[i], p0[i], m0[i], s0[i]};
    double w = 1.0;
    if (kGate == Gate::conjunction) w = double{g_f[i]} * g_r[i] < 0.0 ? 0.0 : 1.0;
    if (kNeedsPhi<kGate>) w = phi_reference(paper, g_f[i], g_r[i], x);
    Parameter y = x;
    if (kGate == Gate::prob) {
      const bool near = std::abs(w - a.q) < kPhiTolerance;
      w = w >= a.q ? 1.0 : 0.0;
      adam_reference(a.adam, a.beta, 1.0 - w, g_f[i], g_r[i], y);
      near_q += near;
      if (near && cm.distance(m[i], y.m) <= 1.0) w = 1.0 - w;
    }
    adam_reference(a.adam, a.beta, w, g_f[i], g_r[i], x);
    cv.add(v_f[i], x.v_f);
    cv.add(v_r[i], x.v_r);
    cp.add(p[i], x.p);
    cm.add(m[i], x.m);
    cs.add(s[i], x.s);
  }
  report_check(name, n, seed, intact && near_q * 1000 <= n, near_q,
               {{"v", cv}, {"p", cp}, {"m", cm}, {"s", cs}});
}

template <int k>
void check_batches(const std::string& name, bool host, int64_t n, uint64_t seed,
                   const std::function<void(const BatchArgs<k>&)>& run) {
  std::vector<float> g_f[k], g_r[k], p = normal(seed + 100, n, 0.05f);
  std::vector<float> v = normal(seed + 101, n, 1e-3f);
  for (int j = 0; j < k; ++j) {
    g_f[j] = normal(seed + 2 * j, n, 1e-3f, 2e-4f);
    g_r[j] = normal(seed + 2 * j + 1, n, 1e-3f, -1e-4f);
  }
  for (int64_t i = 0; i < n; i += 61)  // no variance, no gradient
    for (int j = 0; j < k; ++j) g_f[j][i] = 0.0f;
  const auto p0 = p, v0 = v;
  Mirror mirror(host);
  BatchArgs<k> a;
  a.n = n;
  for (int j = 0; j < k; ++j) a.g_f[j] = mirror.add(g_f[j]), a.g_r[j] = mirror.add(g_r[j]);
  a.p = mirror.add(p), a.v = mirror.add(v);
  std::vector<float> mask_bytes(n / 16 + 1, kGuard);  // n / 4 bytes, poisoned by the guard's bits
  a.mask = reinterpret_cast<uint8_t*>(mirror.add(mask_bytes));
  run(a);
  const bool intact = mirror.finish();
  const uint8_t* mask = reinterpret_cast<const uint8_t*>(mask_bytes.data());

  Comparison cp(1e-7, 1e-6), cv(2e-9, 2e-6), cmask(1e-9, 0.0);
  int64_t near_q = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Moments f = moments_reference(k, [&](int j) { return double{g_f[j][i]}; });
    const Moments r = moments_reference(k, [&](int j) { return double{g_r[j][i]}; });
    const double scale = 1.0 / (k * (k - 1.0));
    const double phi = 0.5 + 2.0 * half_reference(signal_reference(f.mean, f.m2 * scale)) *
                                 half_reference(signal_reference(r.mean, r.m2 * scale));
    const bool moves = (mask[i / 4] >> (i % 4)) & 1;
    // q = 1/2 is where a mean is 0: exact for gradients of zero, else as near as the phi of a mean
    // whose rounding is 1e-7 of its terms.
    const bool near = std::abs(phi - a.q) < kPhiTolerance && phi != 0.5;
    near_q += near;
    const double w = near ? moves : phi >= a.q;
    const double g = w * (a.beta * r.mean + double{1.0f - a.beta} * f.mean);
    const double velocity = double{a.sgd.momentum} * v0[i] + g + double{a.sgd.weight_decay} * p0[i];
    cmask.add(moves, w);
    cv.add(v[i], velocity);
    cp.add(p[i], p0[i] - a.sgd.lr * velocity);
  }
  report_check(name, n, seed, intact && near_q * 1000 <= n, near_q,
               {{"mask", cmask}, {"v", cv}, {"p", cp}});
}

template <int c>
void check_chunk(const std::string& name, bool host, int64_t n, uint64_t seed,
                 const std::function<void(const ChunkArgs<c>&)>& run) {
  std::vector<float> g[c], mean = normal(seed + 100, n, 3e-4f), m2 = squares(seed + 101, n, 8e-6f);
  for (int j = 0; j < c; ++j) g[j] = normal(seed + j, n, 1e-3f, 2e-4f);
  const auto mean0 = mean, m20 = m2;
  Mirror mirror(host);
  ChunkArgs<c> a;
  a.n = n;
  a.before = 8.0f;
  for (int j = 0; j < c; ++j) a.g[j] = mirror.add(g[j]);
  a.mean = mirror.add(mean), a.m2 = mirror.add(m2);
  run(a);
  const bool intact = mirror.finish();

  Comparison cmean(2e-9, 1e-6), cm2(1e-12, 2e-6);
  for (int64_t i = 0; i < n; ++i) {
    const Moments x = moments_reference(c, [&](int j) { return double{g[j][i]}; });
    const double count = a.before + c, delta = x.mean - mean0[i];
    cmean.add(mean[i], mean0[i] + delta * c / count);
    cm2.add(m2[i], m20[i] + x.m2 + delta * delta * a.before * c / count);
  }
  report_check(name, n, seed, intact, 0, {{"mean", cmean}, {"m2", cm2}});
}

}  // namespace expunge::gpu_bench
