// Convolutions of a GPU that are our own, beside cuDNN's rows of the same shapes.
#include "kernels/conv2d_image.h"
#include "kernels/conv2d_taps.h"
#include "kernels/precision.h"
#include "tools/bench_buffer.h"
#include "tools/bench_kernels.h"

namespace expunge::tools {

using kernels::Conv2dShape;

bool is_of_images(const ConvCase& row) {
  return compute_stream().device == Device::cuda &&
         kernels::precision() != kernels::Precision::fp32 &&
         row.direction != Direction::backward_data && kernels::is_conv2d_image(row.shape);
}

bool is_of_taps(Direction direction, const Conv2dShape& s) {
  return compute_stream().device == Device::cuda &&
         kernels::precision() != kernels::Precision::fp32 &&
         direction == Direction::backward_weights && kernels::is_conv2d_taps(s);
}

// What networks do with images on tensor cores (kernels/conv2d_image.h), in 16 bits of f32 numbers
// that those hold. Beside it stand the same shapes by cuDNN, which no network has.
KernelRun prepare_images(const ConvCase& row, const std::string& name) {
  const Conv2dShape& s = row.shape;
  const DType type = kernels::activation_type();
  const auto drawn = [type](Shape shape, uint32_t key) {
    return BenchBuffer::of(BenchBuffer::drawn(shape, key, type).here().to(compute_stream()));
  };
  const BenchBuffer x = drawn({s.N, s.H, s.W, s.C}, 1), w = drawn({s.K, s.R, s.S, s.C}, 2),
                    y = BenchBuffer::drawn({s.N, s.H, s.W, s.K}, 3, type);
  const bool forward = row.direction == Direction::forward;
  const BenchBuffer out = forward ? y : w;
  KernelRun run{.result = out.here(),
                .flops = 2 * static_cast<double>(s.macs()),
                .algo = "own",
                .bytes = bytes_of({x, w, y})};
  run.call = [=] {
    forward ? kernels::conv2d_image(compute_stream(), s, x.data(), w.data(), nullptr, y.values())
            : kernels::conv2d_image_backward_weights(compute_stream(), s, 0, s.N, x.data(),
                                                     y.values(), 0, w.data());
  };
  run.check = [=, direction = row.direction] {
    out.fetch();
    check_conv(
        name, direction, s,
        {x.here().data(), (forward ? w : y).here().data(), nullptr, out.here().data(), !forward});
  };
  return run;
}

// Our gradient of the weights (kernels/conv2d_taps.h), which networks have where it is the faster.
KernelRun prepare_taps(const ConvCase& row, const std::string& name) {
  const Conv2dShape& s = row.shape;
  const int64_t parts = kernels::conv2d_taps_parts(s);
  const DType type = kernels::activation_type();
  const BenchBuffer x = BenchBuffer::drawn({s.N, s.H, s.W, s.C}, 1, type),
                    dy = BenchBuffer::drawn({s.N, s.H, s.W, s.K}, 3, type),
                    sums({parts, kernels::conv2d_taps_weights(s)}), dw({s.K, s.R, s.S, s.C});
  KernelRun run{.result = dw.here(),
                .flops = 2 * static_cast<double>(s.macs()),
                .algo = "own",
                .bytes = bytes_of({x, dw, dy})};
  run.call = [=] {
    kernels::conv2d_taps_backward_weights(compute_stream(), {s, parts, sums.data()}, x.values(),
                                          dy.values(), 0, dw.data());
  };
  run.check = [=] {
    dw.fetch();
    check_conv(name, Direction::backward_weights, s,
               {x.here().data(), dy.here().data(), nullptr, dw.here().data(), true});
  };
  return run;
}

}  // namespace expunge::tools
