#include "kernels/cast.h"

#include "core/parallel.h"
#include "kernels/elementwise_math.h"

namespace expunge::kernels {
namespace {

template <class From, class To>
void cast_rows(const CastShape& s, const From* from, float beta, To* to) {
  parallel_for(s.rows, [=](int64_t r) {
    for (int64_t c = 0; c < s.to_channels; ++c) {
      const float x = c < s.from_channels ? to_float(from[r * s.from_channels + c]) : 0.0f;
      To& out = to[r * s.to_channels + c];
      out = from_float<To>(math::accumulated(beta, to_float(out), x));
    }
  });
}

}  // namespace

void cast(Stream stream, const CastShape& s, ConstValues from, float beta, Values to) {
  const auto on_cpu = [&] {
    of_type(from.type, [&]<class From>(From) {
      of_type(to.type, [&]<class To>(To) { cast_rows(s, from.as<From>(), beta, to.as<To>()); });
    });
  };
  dispatch(stream, on_cpu, [&] { cuda::cast(stream, s, from, beta, to); });
}

}  // namespace expunge::kernels
