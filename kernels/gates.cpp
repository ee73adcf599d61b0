#include "kernels/gates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/memory_cuda.h"
#include "core/tensor.h"
#include "kernels/gates_math.h"

namespace expunge::kernels {
namespace {

using math::order_bits;

// The element with `rank` smaller or equal ones before it: a radix select.
uint32_t select(std::span<const float> values, int64_t rank) {
  uint32_t found = 0, known = 0;  // the bits of `known` are decided
  for (const auto [shift, width] : math::kDigits) {
    std::array<int64_t, math::kMostDigits> count{};
    const uint32_t mask = (1u << width) - 1;
    for (float v : values) {
      const uint32_t bits = order_bits(v);
      if ((bits & known) == found) ++count[(bits >> shift) & mask];
    }
    uint32_t digit = 0;
    for (; rank >= count[digit]; ++digit) rank -= count[digit];
    found |= digit << shift, known |= mask << shift;
  }
  return found;
}

// The sums that OPT's condition is made of.
struct Sums {
  double uu = 0, cc = 0, uc = 0;
  void add(double u, double c) { uu += u * u, cc += c * c, uc += u * c; }
  void add(const Sums& s) { uu += s.uu, cc += s.cc, uc += s.uc; }
};

// u_i and c_i of OPT, and its condition.
struct Opt {
  std::span<const float> g_f, g_r, phi;
  double beta;

  double weight(size_t i) const { return phi.empty() ? 1.0 : double{phi[i]}; }
  double u(size_t i) const { return weight(i) * double{g_f[i]}; }
  double c(size_t i) const { return weight(i) * double{g_r[i]}; }
  double product(size_t i) const { return u(i) * c(i); }
  double forget(const Sums& s) const { return (1 - beta) * s.uu + beta * s.uc; }
  double retain(const Sums& s) const { return beta * s.cc + (1 - beta) * s.uc; }
  bool feasible(const Sums& s) const { return std::min(forget(s), retain(s)) >= 0; }
};

// The elements of negative product fall into classes by its size, 16 to the octave, the largest
// first; the last class holds all from 64 octaves below the largest on.
constexpr size_t kClasses = 1024;

struct Class {
  Sums sums;
  double forget_gain = 0, retain_gain = 0;  // what the two sides gain at most when some are dropped
  size_t end = 0;                           // in the order by class
};

struct Classes {
  std::vector<Class> all{kClasses};
  std::vector<uint32_t> order;  // elements by class, in a class by index

  // `negative`: the elements; `most`: their largest product in size.
  Classes(const Opt& opt, std::span<const uint32_t> negative, double most)
      : order(negative.size()) {
    const auto place = [](double size) {
      return static_cast<int64_t>(std::bit_cast<uint64_t>(size) >> 48);  // octave and four bits
    };
    std::vector<uint16_t> of(negative.size());
    for (size_t k = 0; k < negative.size(); ++k) {
      const double u = opt.u(negative[k]), c = opt.c(negative[k]), b = opt.beta;
      of[k] = static_cast<uint16_t>(
          std::min<int64_t>(place(most) - place(-(u * c)), int64_t{kClasses} - 1));
      Class& in = all[of[k]];
      in.sums.add(u, c);
      in.forget_gain += std::max(0.0, -((1 - b) * (u * u) + b * (u * c)));
      in.retain_gain += std::max(0.0, -(b * (c * c) + (1 - b) * (u * c)));
      ++in.end;
    }
    size_t begin = 0;
    for (Class& in : all) begin += std::exchange(in.end, begin);
    for (size_t k = 0; k < negative.size(); ++k) order[all[of[k]].end++] = negative[k];
  }
};

// How many of a class, its smallest products first, must be dropped for what is left to be
// feasible; none: -1. `left`: the sums after the whole class. Sorts the class.
int64_t first_prefix(const Opt& opt, std::span<uint32_t> members, Sums left) {
  std::ranges::sort(members, [&](uint32_t a, uint32_t b) {
    const double x = opt.product(a), y = opt.product(b);
    return x != y ? x < y : a < b;
  });
  int64_t found = -1;
  for (size_t k = members.size();; --k) {
    if (opt.feasible(left)) found = static_cast<int64_t>(k);
    if (k == 0) return found;
    left.add(opt.u(members[k - 1]), opt.c(members[k - 1]));
  }
}

}  // namespace

double quantile(std::span<const float> values, double q, Quantile how) {
  EXPUNGE_CHECK(q >= 0 && q <= 1 && !values.empty(), "quantile {} of {} values", q, values.size());
  std::vector<float> v(values.begin(), values.end());
  const math::QuantilePlace place = math::quantile_place(q, std::ssize(v));
  const auto low = static_cast<size_t>(place.low);
  const auto at_low = v.begin() + static_cast<std::ptrdiff_t>(low);
  std::nth_element(v.begin(), at_low, v.end());
  const double below = double{*at_low};
  const double above = low + 1 < v.size() ? double{*std::min_element(at_low + 1, v.end())} : below;
  const double share = place.part == 0 ? 0 : how == Quantile::midpoint ? 0.5 : place.part;
  return below + share * (above - below);
}

void gate_saliency(std::span<const float> s, double q, Quantile how, std::span<float> w) {
  if (s.empty()) return;
  std::vector<float> size(s.size());
  for (size_t i = 0; i < s.size(); ++i) size[i] = std::abs(s[i]);
  const double threshold = quantile(size, q, how);
  for (size_t i = 0; i < s.size(); ++i) w[i] = double{std::abs(s[i])} >= threshold ? 1.0f : 0.0f;
}

void gate_top(std::span<const float> score, int64_t keep, std::span<float> w) {
  const auto n = std::ssize(score);
  EXPUNGE_CHECK(keep >= 0 && keep <= n, "top: {} of {} parameters", keep, n);
  if (keep == 0) return std::ranges::fill(w, 0.0f), void();
  const uint32_t least = select(score, n - keep);
  int64_t ties = keep;
  for (float v : score) ties -= order_bits(v) > least;
  for (size_t i = 0; i < score.size(); ++i) w[i] = order_bits(score[i]) > least ? 1.0f : 0.0f;
  for (size_t i = 0; ties > 0; ++i)
    if (order_bits(score[i]) == least) w[i] = 1.0f, --ties;
}

int64_t gate_fdr(std::span<const float> phi, double alpha, std::span<float> w) {
  // 1 - phi rises along the order, and with it its running mean: the set ends in the first class of
  // phi (its upper 16 bits) whose sum is too large.
  constexpr size_t kUpper = size_t{1} << 16;
  std::vector<int64_t> risks(kUpper);  // of risk_of: sums do not depend on the order
  std::vector<int64_t> counts(kUpper);
  for (float p : phi) {
    const uint32_t bits = order_bits(p) >> 16;
    risks[bits] += math::risk_of(p);
    ++counts[bits];
  }
  int64_t risk = 0, keep = 0;
  size_t last = kUpper;
  const auto fits = [&](int64_t r, int64_t n) { return math::risk_fits(r, n, alpha); };
  while (last > 0 && fits(risk + risks[last - 1], keep + counts[last - 1]))
    --last, risk += risks[last], keep += counts[last];
  if (last > 0) {
    std::vector<float> rest;
    for (float p : phi)
      if (order_bits(p) >> 16 == last - 1) rest.push_back(p);
    std::ranges::sort(rest, std::greater<>());
    for (float p : rest) {
      risk += math::risk_of(p);
      if (!fits(risk, keep + 1)) break;
      ++keep;
    }
  }
  gate_top(phi, keep, w);
  return keep;
}

int64_t gate_opt(std::span<const float> g_f, std::span<const float> g_r, std::span<const float> phi,
                 double beta, std::span<float> w) {
  const Opt opt{g_f, g_r, phi, beta};
  const size_t n = g_f.size();
  EXPUNGE_CHECK(n < size_t{1} << 32, "opt: {} parameters, at most 2^32 expected", n);
  Sums kept, all;  // kept: of products >= 0, which no prefix reaches: alone they are feasible
  std::vector<uint32_t> negative(n);
  size_t count = 0;
  double most = 0;
  for (size_t i = 0; i < n; ++i) {
    const double u = opt.u(i), c = opt.c(i);
    const bool conflict = u * c < 0;
    all.add(u, c);
    const auto keep = static_cast<double>(!conflict);  // a branch would be wrong half the time
    kept.add(keep * u, keep * c);
    most = std::max(most, -(u * c));
    negative[count] = static_cast<uint32_t>(i);
    count += conflict;
    w[i] = phi.empty() ? 1.0f : phi[i];
  }
  if (opt.feasible(all) || count == 0) return 0;

  negative.resize(count);
  Classes classes(opt, negative, most);
  // What is left after each class, from the other end: no difference of large numbers.
  std::vector<Sums> left(kClasses + 1, kept);
  for (size_t k = kClasses; k-- > 0;) {
    left[k] = left[k + 1];
    left[k].add(classes.all[k].sums);
  }
  size_t dropped = 0;
  for (size_t k = 0; k < kClasses; ++k) {
    const Class& in = classes.all[k];
    const std::span<uint32_t> members = std::span(classes.order).subspan(dropped, in.end - dropped);
    const double rounding = 1e-9 * (left[k].uu + left[k].cc);  // of any sums of the elements left
    const bool hopeless = opt.forget(left[k]) + in.forget_gain < -rounding ||
                          opt.retain(left[k]) + in.retain_gain < -rounding;
    const int64_t few = members.empty() || hopeless ? -1 : first_prefix(opt, members, left[k + 1]);
    dropped += few < 0 ? members.size() : static_cast<size_t>(few);
    if (few >= 0) break;
  }
  for (size_t k = 0; k < dropped; ++k) w[classes.order[k]] = 0.0f;
  return static_cast<int64_t>(dropped);
}

namespace {

Tensor workspace(Stream stream) {
  const auto bytes = static_cast<int64_t>(cuda::gate_workspace());
  return Tensor({bytes}, DType::u8, stream);
}

// The CPU's copy of values on a GPU.
std::vector<float> fetched(Stream stream, std::span<const float> values) {
  std::vector<float> here(values.size());
  if (!here.empty()) cuda_download(stream, here.data(), values.data(), values.size_bytes());
  return here;
}

}  // namespace

void gate_saliency(Stream stream, std::span<const float> s, double q, Quantile how,
                   std::span<float> w) {
  const auto on_cuda = [&] {
    cuda::gate_saliency(stream, std::ssize(s), s.data(), q, how, w.data(),
                        workspace(stream).bytes());
  };
  dispatch(
      stream, [&] { gate_saliency(s, q, how, w); }, on_cuda);
}

void gate_top(Stream stream, std::span<const float> score, int64_t keep, std::span<float> w) {
  const auto on_cuda = [&] {
    cuda::gate_top(stream, std::ssize(score), score.data(), keep, w.data(),
                   workspace(stream).bytes());
  };
  dispatch(
      stream, [&] { gate_top(score, keep, w); }, on_cuda);
}

void gate_fdr(Stream stream, std::span<const float> phi, double alpha, std::span<float> w) {
  const auto on_cuda = [&] {
    cuda::gate_fdr(stream, std::ssize(phi), phi.data(), alpha, w.data(), workspace(stream).bytes());
  };
  dispatch(
      stream, [&] { gate_fdr(phi, alpha, w); }, on_cuda);
}

void gate_opt(Stream stream, std::span<const float> g_f, std::span<const float> g_r,
              std::span<const float> phi, double beta, std::span<float> w) {
  const auto on_cuda = [&] {
    std::vector<float> here(w.size());
    gate_opt(fetched(stream, g_f), fetched(stream, g_r), fetched(stream, phi), beta, here);
    if (!here.empty()) cuda_upload(stream, w.data(), here.data(), w.size_bytes());
  };
  dispatch(
      stream, [&] { gate_opt(g_f, g_r, phi, beta, w); }, on_cuda);
}

}  // namespace expunge::kernels
