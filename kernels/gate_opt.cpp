#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "core/check.h"
#include "core/tensor.h"
#include "kernels/gate_opt_math.h"
#include "kernels/gates.h"

namespace expunge::kernels {
namespace {

using math::Opt, math::OptSums;

constexpr size_t kClasses = math::kOptClasses;
constexpr uint16_t kNoClass = kClasses;  // of products >= 0

// Sums go by index in strands, which processors add side by side, and strands in order at the end.
constexpr size_t kStrands = 4;
struct Strands {
  double uu[kStrands] = {}, cc[kStrands] = {}, uc[kStrands] = {}, most[kStrands] = {};

  void add(size_t strand, const OptSums& element) {
    uu[strand] += element.uu, cc[strand] += element.cc, uc[strand] += element.uc;
    most[strand] = std::max(most[strand], -element.uc);
  }
  OptSums sums() const {
    OptSums all;
    for (size_t k = 0; k < kStrands; ++k) math::add(all, {uu[k], cc[k], uc[k]});
    return all;
  }
};

// x, or 0 where the mask is 0: by bits, several at once.
double masked(double x, uint64_t mask) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & mask);
}

// body(strand, element) for all n in order.
template <class Body>
void for_strands(size_t n, Body body) {
  size_t i = 0;
  for (; i + kStrands <= n; i += kStrands)
    for (size_t k = 0; k < kStrands; ++k) body(k, i + k);
  for (size_t k = 0; i < n; ++i, ++k) body(k, i);
}

struct Class {
  OptSums sums;
  double forget_gain = 0, retain_gain = 0;  // what the two sides gain at most when some are dropped
  size_t size = 0;
};

struct Classes {
  std::vector<Class> all{kClasses};
  std::vector<uint16_t> of;  // of each element: its class, kNoClass
  OptSums kept;              // of products >= 0, which no prefix reaches: alone they are feasible

  // `most`: the largest product in size of those that are negative.
  Classes(const Opt& opt, size_t n, double most) : of(n) {
    constexpr size_t kBlock = 512;
    std::array<uint16_t, kBlock> negative;
    Strands not_negative;
    for (size_t begin = 0; begin < n; begin += kBlock) {
      const size_t size = std::min(kBlock, n - begin);
      // Without branches, here and below: they would often be wrong.
      for_strands(size, [&](size_t strand, size_t i) {
        const OptSums e = math::opt_sums(opt, static_cast<int64_t>(begin + i));
        const uint64_t mask = e.uc < 0 ? 0 : ~uint64_t{0};
        not_negative.add(strand, {masked(e.uu, mask), masked(e.cc, mask), masked(e.uc, mask)});
      });
      size_t count = 0;
      for (size_t i = 0; i < size; ++i) {
        negative[count] = static_cast<uint16_t>(i);
        count += math::opt_sums(opt, static_cast<int64_t>(begin + i)).uc < 0;
      }
      std::fill_n(of.begin() + static_cast<std::ptrdiff_t>(begin), size, kNoClass);
      for (size_t k = 0; k < count; ++k) take(opt, begin + negative[k], most);
    }
    kept = not_negative.sums();
  }

  std::vector<uint32_t> members(size_t k) const {
    constexpr size_t kBlock = 64;  // looked at together: most have none
    std::vector<uint32_t> found;
    found.reserve(all[k].size);
    for (size_t begin = 0; begin < of.size(); begin += kBlock) {
      const size_t end = std::min(begin + kBlock, of.size());
      if (std::count(&of[begin], &of[begin] + (end - begin), k) == 0) continue;
      for (size_t i = begin; i < end; ++i)
        if (of[i] == k) found.push_back(static_cast<uint32_t>(i));
    }
    return found;
  }

 private:
  void take(const Opt& opt, size_t i, double most) {
    const OptSums element = math::opt_sums(opt, static_cast<int64_t>(i));
    of[i] = static_cast<uint16_t>(math::opt_class(most, -element.uc));
    Class& in = all[of[i]];
    math::add(in.sums, element);
    in.forget_gain += std::max(0.0, -math::opt_forget(opt, element));
    in.retain_gain += std::max(0.0, -math::opt_retain(opt, element));
    ++in.size;
  }
};

// w of what is in class `open` or a later one, or in none, is 1 or phi; of the others 0.
void write_kept(const std::vector<uint16_t>& of_element, uint16_t open, const float* __restrict phi,
                float* __restrict w) {
  const uint16_t* __restrict of = of_element.data();
  const size_t n = of_element.size();
  if (phi == nullptr)
    for (size_t i = 0; i < n; ++i) w[i] = of[i] < open ? 0.0f : 1.0f;
  else
    for (size_t i = 0; i < n; ++i) w[i] = of[i] < open ? 0.0f : phi[i];
}

// How many of a class, its smallest products first, must be dropped for what is left to be
// feasible; none: -1. `left`: the sums after the whole class. Sorts the class.
int64_t first_prefix(const Opt& opt, std::span<uint32_t> members, OptSums left) {
  std::ranges::sort(members, [&](uint32_t a, uint32_t b) {
    const double x = math::opt_sums(opt, a).uc, y = math::opt_sums(opt, b).uc;
    return x != y ? x < y : a < b;
  });
  int64_t found = -1;
  for (size_t k = members.size();; --k) {
    if (math::opt_feasible(opt, left)) found = static_cast<int64_t>(k);
    if (k == 0) return found;
    math::add(left, math::opt_sums(opt, members[k - 1]));
  }
}

}  // namespace

int64_t gate_opt(std::span<const float> g_f, std::span<const float> g_r, std::span<const float> phi,
                 double beta, std::span<float> w) {
  const Opt opt{g_f.data(), g_r.data(), phi.empty() ? nullptr : phi.data(), beta};
  const size_t n = g_f.size();
  EXPUNGE_CHECK(n < size_t{1} << 32, "opt: {} parameters, at most 2^32 expected", n);
  Strands all;
  for_strands(n, [&](size_t strand, size_t i) {
    all.add(strand, math::opt_sums(opt, static_cast<int64_t>(i)));
  });
  const double most = *std::ranges::max_element(all.most);
  if (math::opt_feasible(opt, all.sums()) || !(most > 0)) {
    for (size_t i = 0; i < n; ++i) w[i] = math::opt_weight(opt, static_cast<int64_t>(i));
    return 0;
  }

  const Classes classes(opt, n, most);
  // What is left after each class, from the other end: no difference of large numbers.
  std::vector<OptSums> left(kClasses + 1, classes.kept);
  for (size_t k = kClasses; k-- > 0;) {
    left[k] = left[k + 1];
    math::add(left[k], classes.all[k].sums);
  }
  size_t dropped = 0, open = 0;
  std::vector<uint32_t> members;  // of the class that the prefix ends in: those that go
  for (; open < kClasses; dropped += classes.all[open++].size) {
    const Class& in = classes.all[open];
    const double rounding = 1e-9 * (left[open].uu + left[open].cc);  // of any sums of those left
    const bool hopeless = math::opt_forget(opt, left[open]) + in.forget_gain < -rounding ||
                          math::opt_retain(opt, left[open]) + in.retain_gain < -rounding;
    if (in.size == 0 || hopeless) continue;
    members = classes.members(open);
    const int64_t few = first_prefix(opt, members, left[open + 1]);
    members.resize(static_cast<size_t>(std::max<int64_t>(0, few)));
    if (few >= 0) break;
  }
  write_kept(classes.of, static_cast<uint16_t>(open), opt.phi, w.data());
  for (const uint32_t i : members) w[i] = 0.0f;
  return static_cast<int64_t>(dropped + members.size());
}

void gate_opt(Stream stream, std::span<const float> g_f, std::span<const float> g_r,
              std::span<const float> phi, double beta, std::span<float> w) {
  const GateTensor whole{0, std::ssize(w)};
  gate_opt(stream, {&whole, 1}, g_f, g_r, phi, beta, w);
}

void gate_opt(Stream stream, std::span<const GateTensor> tensors, std::span<const float> g_f,
              std::span<const float> g_r, std::span<const float> phi, double beta,
              std::span<float> w) {
  const auto on_cpu = [&] {
    for (const GateTensor& t : tensors) {
      const auto own = [&](auto flat) {
        return flat.empty()
                   ? flat
                   : flat.subspan(static_cast<size_t>(t.offset), static_cast<size_t>(t.size));
      };
      gate_opt(own(g_f), own(g_r), own(phi), beta, own(w));
    }
  };
  const auto on_cuda = [&] {
    for (const GateTensor& t : tensors)
      EXPUNGE_CHECK(t.size < int64_t{1} << 32, "opt: {} parameters, fewer than 2^32 expected",
                    t.size);
    const auto bytes = static_cast<int64_t>(cuda::gate_opt_workspace(tensors));
    const Tensor workspace({bytes}, DType::u8, stream);
    cuda::gate_opt(stream, tensors, g_f.data(), g_r.data(), phi.empty() ? nullptr : phi.data(),
                   beta, w.data(), workspace.bytes());
  };
  dispatch(stream, on_cpu, on_cuda);
}

}  // namespace expunge::kernels
