#include "kernels/each.cuh"
#include "kernels/gate_select.cuh"
#include "kernels/gates.h"

// Gates of a tensor, or of a model, by rank: the largest, or as many as a mean allows.
namespace expunge::kernels::cuda {
namespace {

constexpr unsigned kThreads = Select::kThreads, kWarp = 32, kAll = 0xffffffffu, kMostBlocks = 512;
constexpr int kClasses = 1 << 16, kClassThreads = 1024, kClassesOfThread = kClasses / kClassThreads;

struct State : Selection {
  int64_t keep = 0;  // fdr: how many fit
  int64_t risk = 0;  // fdr: of those before the class
};

// Memory to work in: a selection, its counts, what blocks have in common.
struct Workspace {
  State* state;
  unsigned *counts, *ties;
  unsigned long long* risks;  // fdr
};
Workspace places(void* memory) {
  auto* bytes = static_cast<unsigned char*>(memory);
  auto* risks = reinterpret_cast<unsigned long long*>(bytes + 256);
  auto* counts = reinterpret_cast<unsigned*>(risks + kClasses);
  return {reinterpret_cast<State*>(bytes), counts, counts + kClasses, risks};
}

__global__ void begin_kernel(Workspace w, int64_t n, int64_t keep) {
  start_kernel();
  if (threadIdx.x == 0) *w.state = {{n - keep}, keep};
  for (unsigned i = threadIdx.x; i < Select::kCounts; i += kThreads) w.counts[i] = 0;
}

__global__ void __launch_bounds__(kThreads)
    count_kernel(int64_t n, const float* x, math::Digit digit, Workspace w) {
  start_kernel();
  KERNEL_SHARED(unsigned, of_block, Select::kCounts);
  const auto keys = [&](const auto& count) {
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n;
         i += int64_t{gridDim.x} * kThreads)
      count(math::order_bits(x[i]));
  };
  Select::count(*w.state, digit, keys, of_block, w.counts);
}

__global__ void __launch_bounds__(kThreads) pick_kernel(math::Digit digit, Workspace w) {
  start_kernel();
  KERNEL_SHARED(int64_t, of_warp, Select::kWarps);
  Select::pick(*w.state, digit, of_warp, w.counts);
}

// The element with `state.rank` smaller or equal ones before it, into state.found.
void select(const StreamAt& stream, int64_t n, const float* x, const Workspace& w) {
  const unsigned blocks = blocks_for(n, kThreads);
  for (const math::Digit digit : math::kDigits) {
    launch(count_kernel, blocks < kMostBlocks ? blocks : kMostBlocks, kThreads, 0, stream, n, x,
           digit, w);
    launch(pick_kernel, 1, kThreads, 0, stream, digit, w);
  }
}

// Rows of kThreads elements, the same number of them a block, in order.
struct Rows {
  int64_t n, of_block;
  __device__ int64_t begin() const { return int64_t{blockIdx.x} * of_block * kThreads; }
  __device__ int64_t end() const {
    const int64_t end = begin() + of_block * kThreads;
    return end < n ? end : n;
  }
};

__global__ void __launch_bounds__(kThreads) ties_kernel(Rows rows, const float* x, Workspace w) {
  start_kernel();
  KERNEL_SHARED(unsigned, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  __syncthreads();
  unsigned mine = 0;
  for (int64_t i = rows.begin() + threadIdx.x; i < rows.end(); i += kThreads)
    mine += math::order_bits(x[i]) == w.state->found;
  if (mine > 0) atomicAdd(&count[0], mine);
  __syncthreads();
  if (threadIdx.x == 0) w.ties[blockIdx.x] = count[0];
}

// w = [x above found], and of those equal to it the first by index, as many as are left to keep
__global__ void __launch_bounds__(kThreads)
    top_kernel(Rows rows, const float* x, Workspace w, float* out) {
  start_kernel();
  KERNEL_SHARED(unsigned, of_warp, kThreads / kWarp);
  const uint32_t least = w.state->found;
  const int64_t wanted = w.state->keep == 0 ? -1 : w.state->equal - w.state->rank;
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int64_t before = 0;  // ties before the row
  for (unsigned block = 0; block < blockIdx.x; ++block) before += w.ties[block];
  for (int64_t row = rows.begin(); row < rows.end(); row += kThreads) {
    const int64_t i = row + threadIdx.x;
    const uint32_t bits = i < rows.end() ? math::order_bits(x[i]) : 0;
    const bool tie = i < rows.end() && bits == least;
    const unsigned ties = __ballot_sync(kAll, tie);
    if (lane == 0) of_warp[warp] = static_cast<unsigned>(__popc(ties));
    __syncthreads();
    int64_t place = before + __popc(ties & ((1u << lane) - 1));
    for (unsigned k = 0; k < kThreads / kWarp; ++k) {
      if (k < warp) place += of_warp[k];
      before += of_warp[k];
    }
    if (i < rows.end())
      out[i] = wanted >= 0 && (bits > least || (tie && place < wanted)) ? 1.0f : 0.0f;
    __syncthreads();
  }
}

void write_top(const StreamAt& stream, int64_t n, const float* score, const Workspace& w,
               float* out) {
  select(stream, n, score, w);
  constexpr int64_t kFew = 4, kMost = int64_t{kThreads} * kMostBlocks;
  const int64_t needed = (n + kMost - 1) / kMost;
  const Rows rows{n, needed > kFew ? needed : kFew};
  const unsigned blocks = blocks_for(n, static_cast<unsigned>(rows.of_block * kThreads));
  launch(ties_kernel, blocks, kThreads, 0, stream, rows, score, w);
  launch(top_kernel, blocks, kThreads, 0, stream, rows, score, w, out);
}

struct Zero {
  Workspace w;
  __device__ void operator()(int64_t i) const { w.counts[i] = 0, w.risks[i] = 0; }
};

// Elements by the upper 16 bits, or, of those with the upper bits found, by the lower ones.
struct ClassCount {
  const float* phi;
  bool upper;
  Workspace w;
  __device__ void operator()(int64_t i) const {
    const uint32_t bits = math::order_bits(phi[i]);
    if (!upper && bits >> 16 != w.state->found) return;
    const uint32_t at = upper ? bits >> 16 : bits & 0xffffu;
    atomicAdd(&w.counts[at], 1u);
    atomicAdd(&w.risks[at], static_cast<unsigned long long>(math::risk_of(phi[i])));
  }
};

// Goes through the classes from the highest phi down while whole ones fit. keep and risk: theirs;
// found: the class that does not. At the lower bits all of it have one phi: as many as fit are
// kept.
__global__ void __launch_bounds__(kClassThreads)
    classes_kernel(bool upper, double alpha, Workspace w) {
  start_kernel();
  KERNEL_SHARED(int64_t, count, kClassThreads);
  KERNEL_SHARED(int64_t, risk, kClassThreads);
  int64_t mine = 0, own = 0;
  for (int k = 0; k < kClassesOfThread; ++k) {
    const unsigned at = threadIdx.x * kClassesOfThread + static_cast<unsigned>(k);
    mine += w.counts[at], own += static_cast<int64_t>(w.risks[at]);
  }
  count[threadIdx.x] = mine, risk[threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.x > 0) return;
  State s = *w.state;
  const auto fits = [&](int64_t r, int64_t c) {
    return math::risk_fits(s.risk + r, s.keep + c, alpha);
  };
  int thread = kClassThreads;
  for (; thread > 0 && fits(risk[thread - 1], count[thread - 1]); --thread)
    s.risk += risk[thread - 1], s.keep += count[thread - 1];
  int at = thread * kClassesOfThread;
  const int end = at - kClassesOfThread;
  const auto class_risk = [&](int c) { return static_cast<int64_t>(w.risks[c]); };
  for (; thread > 0 && at > end && fits(class_risk(at - 1), w.counts[at - 1]); --at)
    s.risk += class_risk(at - 1), s.keep += w.counts[at - 1];
  if (upper) {
    s.found = thread > 0 ? static_cast<uint32_t>(at - 1) : kAll;
  } else if (thread > 0 && w.counts[at - 1] > 0) {
    const int64_t each = class_risk(at - 1) / w.counts[at - 1];
    int64_t low = 0, high = w.counts[at - 1];  // low fit, high do not
    while (low + 1 < high) {
      const int64_t middle = (low + high) / 2;
      (fits(middle * each, middle) ? low : high) = middle;
    }
    s.keep += low;
  }
  *w.state = s;
}

__global__ void rank_kernel(int64_t n, Workspace w) {
  start_kernel();
  if (threadIdx.x > 0) return;
  w.state->rank = n - w.state->keep;
  w.state->found = w.state->known = 0;
}

void start(const StreamAt& stream, int64_t n, int64_t keep, const Workspace& w) {
  launch(begin_kernel, 1, kThreads, 0, stream, w, n, keep);
}

}  // namespace

size_t gate_workspace() {
  return 256 + kClasses * (sizeof(unsigned long long) + sizeof(unsigned)) +
         kMostBlocks * sizeof(unsigned);
}

void gate_top(Stream stream, int64_t n, const float* score, int64_t keep, float* w,
              void* workspace) {
  if (n == 0) return;
  start(stream, n, keep, places(workspace));
  write_top(stream, n, score, places(workspace), w);
}

void gate_fdr(Stream stream, int64_t n, const float* phi, double alpha, float* w, void* workspace) {
  if (n == 0) return;
  const Workspace of = places(workspace);
  start(stream, n, 0, of);
  for (const bool upper : {true, false}) {
    each(stream, kClasses, Zero{of});
    each(stream, n, ClassCount{phi, upper, of});
    launch(classes_kernel, 1, kClassThreads, 0, stream, upper, alpha, of);
  }
  each(stream, kClasses, Zero{of});
  launch(rank_kernel, 1, kWarp, 0, stream, n, of);
  write_top(stream, n, phi, of, w);
}

}  // namespace expunge::kernels::cuda
