#include "cuda_on_cpu/vendor/convolution.h"

#include <cstring>

#include "core/tensor.h"
#include "kernels/cast.h"

namespace cuda_on_cpu {
namespace {

using expunge::DType;
using expunge::Tensor;
namespace kernels = expunge::kernels;

// As floats, whatever the type.
Tensor fetched(const void* from, DType type, int64_t size) {
  const Tensor here({size}, type), floats({size});
  std::memcpy(here.bytes(), from, static_cast<size_t>(size) * size_of(type));
  kernels::cast({}, {size, 1, 1}, here.values(), 0.0f, floats.data());
  return floats;
}

void put(const Tensor& floats, DType type, void* to) {
  const Tensor here(floats.shape(), type);
  kernels::cast({}, {floats.size(), 1, 1}, floats.data(), 0.0f, here.values());
  std::memcpy(to, here.bytes(), static_cast<size_t>(floats.size()) * size_of(type));
}

}  // namespace

void run(const Convolution& c) {
  const kernels::Conv2dShape& s = c.shape;
  const auto x = [&] { return fetched(c.x, c.type, c.x_size()); };
  const auto w = [&] { return fetched(c.w, c.type, c.w_size()); };
  const auto y = [&] { return fetched(c.y, c.type, c.y_size()); };
  const auto before = [&](const void* at, int64_t size) {
    return c.beta == 0.0f ? Tensor({size}) : fetched(at, c.type, size);
  };
  switch (c.pass) {
    case ConvPass::forward: {
      const Tensor out({c.y_size()});
      kernels::conv2d({}, s, x().data(), w().data(), nullptr, out.data());
      return put(out, c.type, c.y);
    }
    case ConvPass::data: {
      const Tensor out = before(c.x, c.x_size());
      kernels::conv2d_backward_data({}, s, y().data(), w().data(), c.beta, out.data());
      return put(out, c.type, c.x);
    }
    case ConvPass::weights: {
      const Tensor out = before(c.w, c.w_size());
      kernels::conv2d_backward_weights({}, s, 0, s.N, x().data(), y().data(), c.beta, out.data());
      return put(out, c.type, c.w);
    }
  }
}

}  // namespace cuda_on_cpu
