#pragma once

#include <algorithm>
#include <cstdint>

// Shared by conv2d.cpp and conv2d_weights.cpp: which taps of a kernel lie inside the image.
namespace expunge::kernels {

struct Range {
  int64_t begin, end;
  int64_t size() const { return std::max<int64_t>(0, end - begin); }
  // Piece i of n, all as long as can be.
  Range piece(int64_t i, int64_t n) const {
    return {begin + size() * i / n, begin + size() * (i + 1) / n};
  }
  bool operator==(const Range&) const = default;
};

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Cuts a range into as few pieces of at most `longest` as can be, of even length; body(Range).
template <class Body>
void for_pieces(Range range, int64_t longest, Body body) {
  const int64_t n = ceil_div(range.size(), longest);
  for (int64_t i = 0; i < n; ++i) body(range.piece(i, n));
}

// One dimension of a convolution: under tap t, output o sees input o stride - pad + t, if there is
// one.
struct Axis {
  int64_t in, out, taps, stride, pad;

  int64_t first_input(int64_t o) const { return o * stride - pad; }  // under tap 0
  Range taps_of(int64_t o) const {
    const int64_t first = std::clamp<int64_t>(-first_input(o), 0, taps);
    return {first, std::clamp<int64_t>(in - first_input(o), first, taps)};
  }
  // The outputs from o on that see inputs under the same taps as o.
  Range run_from(int64_t o) const {
    const Range same = taps_of(o);
    Range run{o, o + 1};
    while (run.end < out && taps_of(run.end) == same) ++run.end;
    return run;
  }
  // The outputs that see an input under this tap.
  Range outputs_of(int64_t tap) const {
    const int64_t begin = std::clamp<int64_t>(ceil_div(pad - tap, stride), 0, out);
    const int64_t last = in - 1 + pad - tap;
    return {begin, std::clamp<int64_t>(last < 0 ? 0 : last / stride + 1, begin, out)};
  }
};

}  // namespace expunge::kernels
