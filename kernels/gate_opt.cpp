#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/tensor.h"
#include "kernels/gate_opt_math.h"
#include "kernels/gates.h"

namespace expunge::kernels {
namespace {

using math::Opt, math::OptSums;

constexpr size_t kClasses = math::kOptClasses;

struct Class {
  OptSums sums;
  double forget_gain = 0, retain_gain = 0;  // what the two sides gain at most when some are dropped
  size_t end = 0;                           // in the order by class
};

struct Classes {
  std::vector<Class> all{kClasses};
  std::vector<uint32_t> order;  // elements by class, in a class by index

  // `negative`: the elements; `most`: their largest product in size.
  Classes(const Opt& opt, std::span<const uint32_t> negative, double most)
      : order(negative.size()) {
    std::vector<uint16_t> of(negative.size());
    for (size_t k = 0; k < negative.size(); ++k) {
      const OptSums element = math::opt_sums(opt, negative[k]);
      of[k] = static_cast<uint16_t>(math::opt_class(most, -element.uc));
      Class& in = all[of[k]];
      math::add(in.sums, element);
      in.forget_gain += std::max(0.0, -math::opt_forget(opt, element));
      in.retain_gain += std::max(0.0, -math::opt_retain(opt, element));
      ++in.end;
    }
    size_t begin = 0;
    for (Class& in : all) begin += std::exchange(in.end, begin);
    for (size_t k = 0; k < negative.size(); ++k) order[all[of[k]].end++] = negative[k];
  }
};

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
  OptSums kept, all;  // kept: of products >= 0, which no prefix reaches: alone they are feasible
  std::vector<uint32_t> negative(n);
  size_t count = 0;
  double most = 0;
  for (size_t i = 0; i < n; ++i) {
    const OptSums element = math::opt_sums(opt, static_cast<int64_t>(i));
    const bool conflict = element.uc < 0;
    math::add(all, element);
    math::add(kept, conflict ? OptSums{} : element);
    most = std::max(most, -element.uc);
    negative[count] = static_cast<uint32_t>(i);
    count += conflict;
    w[i] = phi.empty() ? 1.0f : phi[i];
  }
  if (math::opt_feasible(opt, all) || count == 0) return 0;

  negative.resize(count);
  Classes classes(opt, negative, most);
  // What is left after each class, from the other end: no difference of large numbers.
  std::vector<OptSums> left(kClasses + 1, kept);
  for (size_t k = kClasses; k-- > 0;) {
    left[k] = left[k + 1];
    math::add(left[k], classes.all[k].sums);
  }
  size_t dropped = 0;
  for (size_t k = 0; k < kClasses; ++k) {
    const Class& in = classes.all[k];
    const std::span<uint32_t> members = std::span(classes.order).subspan(dropped, in.end - dropped);
    const double rounding = 1e-9 * (left[k].uu + left[k].cc);  // of any sums of the elements left
    const bool hopeless = math::opt_forget(opt, left[k]) + in.forget_gain < -rounding ||
                          math::opt_retain(opt, left[k]) + in.retain_gain < -rounding;
    const int64_t few = members.empty() || hopeless ? -1 : first_prefix(opt, members, left[k + 1]);
    dropped += few < 0 ? members.size() : static_cast<size_t>(few);
    if (few >= 0) break;
  }
  for (size_t k = 0; k < dropped; ++k) w[classes.order[k]] = 0.0f;
  return static_cast<int64_t>(dropped);
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
