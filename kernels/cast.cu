#include "kernels/cast.h"
#include "kernels/each.cuh"
#include "kernels/elementwise_math.h"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

template <class From, class To>
struct CastOne {
  unsigned from_channels, to_channels;
  const From* from;
  float beta;
  To* to;
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<1>(i, to_channels), r = (i - c) / to_channels;
    const float x = c < from_channels ? to_float(from[r * from_channels + c]) : 0.0f;
    to[i] = from_float<To>(math::accumulated(beta, to_float(to[i]), x));
  }
};

// Four neighbours, where the channels stay.
template <class From, class To>
struct CastFour {
  const From* from;
  float beta;
  To* to;
  __device__ void operator()(int64_t i) const {
    accumulate(beta, to + 4 * i, load<4>(from + 4 * i));
  }
};

bool on_vectors(ConstValues v) {
  return reinterpret_cast<uintptr_t>(v.at) % (4 * size_of(v.type)) == 0;
}

}  // namespace

void cast(Stream stream, const CastShape& s, ConstValues from, float beta, Values to) {
  const int64_t n = s.rows * s.to_channels;
  const StreamAt at = stream;
  of_type(from.type, [&]<class From>(From) {
    of_type(to.type, [&]<class To>(To) {
      if (s.from_channels == s.to_channels && n % 4 == 0 && on_vectors(from) && on_vectors(to))
        each(at, n / 4, CastFour<From, To>{from.as<From>(), beta, to.as<To>()});
      else
        each(at, n,
             CastOne<From, To>{static_cast<unsigned>(s.from_channels),
                               static_cast<unsigned>(s.to_channels), from.as<From>(), beta,
                               to.as<To>()});
    });
  });
}

}  // namespace expunge::kernels::cuda
