#include "kernels/gates.h"

#include <algorithm>

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

// Sizes of several blocks as well; values with many ties.
constexpr size_t kGateSizes[] = {1, 2, 31, 33, 257, 5000};

Floats with_ties(size_t n, uint64_t key) {
  Floats x = draw(n, key);
  for (float& v : x) v = std::round(4 * v) / 4;
  return x;
}

// phi: in [0, 1], some equal
Floats focus_like(size_t n, uint64_t key) {
  Floats x = draw(n, key);
  for (size_t i = 0; i < n; ++i) x[i] = i % 3 == 0 ? 0.9375f : 1 / (1 + std::exp(-2 * x[i]));
  return x;
}

template <class OnCpu, class OnCuda>
void check(const Floats& in, const OnCpu& on_cpu, const OnCuda& on_cuda) {
  Floats w(in.size());
  const DeviceArray<float> dev_in(in), dev_w(in.size());
  const DeviceArray<char> workspace(cuda::gate_workspace());
  on_cpu(in, w);
  on_cuda(dev_in.data(), dev_w.data(), workspace.data());
  CHECK(same_bits(dev_w.values(), w));
}

// In memory that is not 0.
void cuda_saliency(std::span<const GateTensor> tensors, const float* s, double q, Quantile how,
                   float* w) {
  const DeviceArray<char> workspace(cuda::gate_saliency_workspace());
  cuda::gate_saliency(kStream, tensors, s, q, how, w, workspace.data());
}

// As cuda::gate_opt does it, in memory that is not 0.
Floats cuda_opt(const std::vector<GateTensor>& tensors, const Floats& g_f, const Floats& g_r,
                const Floats& phi, double beta) {
  const DeviceArray<float> dev_f(g_f), dev_r(g_r), dev_phi(phi), w(Floats(g_f.size(), -1.0f));
  const DeviceArray<char> workspace(cuda::gate_opt_workspace(tensors));
  cuda::gate_opt(kStream, tensors, dev_f.data(), dev_r.data(),
                 phi.empty() ? nullptr : dev_phi.data(), beta, w.data(), workspace.data());
  return w.values();
}
Floats cuda_opt(const Floats& g_f, const Floats& g_r, const Floats& phi, double beta) {
  return cuda_opt({{0, static_cast<int64_t>(g_f.size())}}, g_f, g_r, phi, beta);
}

void check_opt(const Floats& g_f, const Floats& g_r, const Floats& phi, double beta) {
  Floats w(g_f.size());
  gate_opt(g_f, g_r, phi, beta, w);
  CHECK(same_bits(cuda_opt(g_f, g_r, phi, beta), w));
}

// Mostly against g_f, so that there is something to drop; `against`: how much.
Floats against(const Floats& g_f, float much, uint64_t key) {
  Floats g_r = draw(g_f.size(), key);
  for (size_t i = 0; i < g_r.size(); ++i) g_r[i] = 0.3f * g_r[i] - much * g_f[i];
  return g_r;
}

}  // namespace

TEST_CASE("cuda gate top: ties by index, from none to all") {
  for (const size_t n : kGateSizes)
    for (const double share : {0.0, 0.01, 0.5, 0.9, 1.0})
      for (const bool ties : {false, true}) {
        CAPTURE(n);
        CAPTURE(share);
        const auto size = static_cast<int64_t>(n);
        const auto keep = std::llround(share * static_cast<double>(n));
        check(
            ties ? with_ties(n, 1) : draw(n, 2),
            [&](const Floats& x, Floats& w) { gate_top(x, keep, w); },
            [&](const float* x, float* w, void* workspace) {
              cuda::gate_top(kStream, size, x, keep, w, workspace);
            });
      }
}

TEST_CASE("cuda gate saliency: at least the quantile, both ways between two values") {
  for (const size_t n : kGateSizes)
    for (const double q : {0.0, 0.3, 0.5, 0.77, 1.0})
      for (const Quantile how : {Quantile::linear, Quantile::midpoint})
        for (const bool ties : {false, true}) {
          CAPTURE(n);
          CAPTURE(q);
          check(
              ties ? with_ties(n, 3) : draw(n, 4),
              [&](const Floats& x, Floats& w) { gate_saliency(x, q, how, w); },
              [&](const float* x, float* w, void*) {
                const GateTensor whole{0, static_cast<int64_t>(n)};
                cuda_saliency({{whole}}, x, q, how, w);
              });
        }
}

TEST_CASE("cuda gate saliency: tensors side by side, more than one launch takes, each by itself") {
  std::vector<GateTensor> tensors;  // with something between them
  int64_t n = 3;
  for (int64_t k = 0; k < 70; ++k) {
    const int64_t size = k == 5 ? 0 : k == 7 ? 9001 : 1 + 37 * k % 300;
    tensors.push_back({n, size});
    n += size + k % 3;
  }
  Floats s = with_ties(static_cast<size_t>(n), 6), w(s.size(), -1.0f);
  for (size_t i = 0; i < s.size(); i += 2) s[i] *= 1e-3f;
  const DeviceArray<float> dev_s(s), dev_w(w);
  gate_saliency({}, tensors, s, 0.3, Quantile::linear, w);
  cuda_saliency(tensors, dev_s.data(), 0.3, Quantile::linear, dev_w.data());
  CHECK(same_bits(dev_w.values(), w));
}

TEST_CASE("cuda gate fdr: the largest set whose mean risk is small enough") {
  for (const size_t n : kGateSizes)
    for (const double alpha : {0.0, 0.01, 0.1, 0.3, 1.0}) {
      CAPTURE(n);
      CAPTURE(alpha);
      check(
          focus_like(n, 5), [&](const Floats& x, Floats& w) { gate_fdr(x, alpha, w); },
          [&](const float* x, float* w, void* workspace) {
            cuda::gate_fdr(kStream, static_cast<int64_t>(n), x, alpha, w, workspace);
          });
    }
}

TEST_CASE("cuda gate opt: the first feasible prefix, in one block and in several tiles") {
  const auto check_size = [](size_t n, double beta, float much) {
    CAPTURE(n);
    CAPTURE(beta);
    CAPTURE(much);
    const Floats g_f = draw(n, 6), g_r = against(g_f, much, 7);
    check_opt(g_f, g_r, much > 0.1f ? focus_like(n, 8) : Floats{}, beta);
  };
  for (const double beta : {0.0, 0.5, 0.95, 1.0})
    for (const float much : {0.02f, 0.2f, 1.0f})
      for (const size_t n : {1u, 2u, 31u, 33u, 257u}) check_size(n, beta, much);
  check_size(1024, 0.95, 0.2f);
  check_size(1025, 0.95, 0.2f);
  check_size(4096, 0.0, 1.0f);
  check_size(9000, 0.5, 0.02f);
  check_size(9000, 0.95, 0.2f);
}

TEST_CASE("cuda gate opt: products of all sizes, many of them equal, in the order of the index") {
  for (const size_t n : {1000u, 5000u})
    for (const float octaves : {1.0f, 12.0f}) {
      Floats g_f = draw(n, 9), g_r = against(g_f, 0.5f, 10);
      const Floats octave = draw(n, 11);
      for (size_t i = 0; i < n; ++i) {
        const float size = std::exp2(std::round(octaves * octave[i]));
        g_f[i] *= size, g_r[i] *= size;
        if (i % 16 < 12 && i > 0) g_f[i] = g_f[i - 1], g_r[i] = g_r[i - 1];
      }
      check_opt(g_f, g_r, {}, octaves > 1 ? 0.3 : 0.95);
    }
}

// Where sides rise and fall with the prefix, and the first feasible one may lie between infeasible
// ends of a class.
TEST_CASE("cuda gate opt: gradients of very different sizes") {
  for (uint64_t key = 0; key < 40; ++key) {
    CAPTURE(key);
    const size_t n = 1100 + 37 * key;
    Floats g_f = draw(n, 3 * key), g_r = draw(n, 3 * key + 1);
    const Floats octave = draw(2 * n, 3 * key + 2);
    const float spread = key % 4 == 0 ? 0.0f : static_cast<float>(key % 4) * 2,
                lean = 0.1f * static_cast<float>(key % 5);
    for (size_t i = 0; i < n; ++i) {
      g_f[i] *= std::exp2(spread * octave[i]);
      g_r[i] = std::exp2(spread * octave[n + i]) * (g_r[i] - lean * g_f[i]);
    }
    for (const double beta : {0.02, 0.4, 0.95}) check_opt(g_f, g_r, {}, beta);
  }
}

// One product so large that sums in units say nothing of the others.
TEST_CASE("cuda gate opt: a gradient that dwarfs all others") {
  constexpr size_t n = 1501;
  Floats g_f = draw(n, 1), g_r = draw(n, 101);
  for (size_t i = 0; i < n; ++i) g_r[i] = 0.5f * g_r[i] - 0.1f * g_f[i];
  for (const float size : {1e15f, 3e38f, HUGE_VALF}) {
    g_f[700] = size, g_r[700] = -size;
    for (const double beta : {0.0, 0.02, 0.95, 1.0}) check_opt(g_f, g_r, {}, beta);
  }
}

TEST_CASE("cuda gate opt: equal elements, of which the first by index go") {
  // Each conflict costs 4 units of the retain side, an agreeing element brings 1.
  for (const size_t n : {400u, 4400u}) {
    Floats g_f(n), g_r(n);
    for (size_t i = 0; i < n; ++i) g_f[i] = i % 2 == 0 ? 4.0f : 1.0f, g_r[i] = i % 2 == 0 ? -1 : 1;
    const Floats w = cuda_opt(g_f, g_r, {}, 0.0);
    const auto kept = static_cast<size_t>(std::ranges::count(w, 1.0f));
    CHECK(kept == n / 2 + n / 8);
    for (size_t i = 0; i < n; ++i) CHECK(w[i] == (i % 2 == 1 || i >= 2 * (n / 2 - n / 8) ? 1 : 0));
  }
}

// `pairs` tensors of few and of many elements side by side, each by itself, feasible ones among
// others; gaps between them stay.
void check_tensors(int pairs, bool weighted) {
  std::vector<GateTensor> tensors;
  int64_t end = 3;
  for (int k = 0; k < pairs; ++k)
    for (const int64_t size : {int64_t{1} + 13 * k, int64_t{1025} + (k % 8 == 7 ? 4000 : 7 * k)}) {
      tensors.push_back({end, size});
      end += size + k % 3;
    }
  tensors.push_back({end, 0});
  tensors.push_back({end, 9000});
  end += 9003;
  const Floats g_f = draw(end, 21), phi = weighted ? focus_like(g_f.size(), 23) : Floats{};
  Floats g_r = against(g_f, 0.4f, 22);
  for (size_t k = 0; k < tensors.size(); ++k)
    for (int64_t i = tensors[k].offset; i < tensors[k].offset + tensors[k].size; ++i) {
      const auto at = static_cast<size_t>(i);
      if (k / 2 % 4 == 1) g_r[at] += 0.38f * g_f[at];  // conflicts, of which none need go
      if (k / 2 % 4 == 2) g_r[at] = -g_f[at];          // all go
    }
  Floats expected(g_f.size(), -1.0f);
  gate_opt({}, tensors, g_f, g_r, phi, 0.9, expected);
  const Floats found = cuda_opt(tensors, g_f, g_r, phi, 0.9);
  CHECK(same_bits(found, expected));
  int64_t none = 0, some = 0, all = 0;  // of many elements
  for (const GateTensor& t : tensors) {
    const auto of = found.begin() + t.offset;
    const auto dropped = std::count(of, of + t.size, 0.0f);
    if (t.size > 1024) ++(dropped == 0 ? none : dropped == t.size ? all : some);
  }
  CHECK(std::min({none, some, all}) >= pairs / 8);
}

TEST_CASE("cuda gate opt: tensors side by side, each by itself, feasible ones among others") {
  check_tensors(8, false);
  check_tensors(8, true);
}

// What takes long is left out on the other machines (CMakeLists.txt).
TEST_CASE("cuda gate opt, plain machine alone: more tensors than one launch takes") {
  check_tensors(70, true);
}

TEST_CASE("cuda gate opt, plain machine alone: more tiles than threads, of which few conflict") {
  constexpr size_t n = 257 * 4096 + 5;
  Floats g_f = draw(n, 31), g_r(n);
  for (size_t i = 0; i < n; ++i) g_r[i] = i % 100 == 7 ? -30 * g_f[i] : 0.05f * g_f[i];
  const Floats found = cuda_opt(g_f, g_r, {}, 0.9);
  Floats expected(n);
  gate_opt(g_f, g_r, {}, 0.9, expected);
  CHECK(same_bits(found, expected));
  const auto dropped = std::ranges::count(found, 0.0f);
  CHECK(dropped > 0);
  CHECK(dropped < static_cast<int64_t>(n / 100));
}

TEST_CASE("cuda gate opt: nothing to drop, everything to drop, zeros") {
  for (const size_t n : {100u, 1100u}) {
    const Floats g = draw(n, 12), zero(n), phi = focus_like(n, 13);
    Floats minus = g;
    for (float& v : minus) v = -v;
    CHECK(cuda_opt(g, g, {}, 0.95) == Floats(n, 1.0f));
    CHECK(same_bits(cuda_opt(g, g, phi, 0.95), phi));
    CHECK(cuda_opt(zero, g, {}, 0.95) == Floats(n, 1.0f));
    CHECK(cuda_opt(zero, zero, {}, 0.5) == Floats(n, 1.0f));
    check_opt(g, minus, {}, 0.95);  // u = -c: of the retain side, never feasible
    check_opt(g, minus, phi, 0.2);
  }
}

}  // namespace expunge::kernels
