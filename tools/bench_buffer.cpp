#include "tools/bench_buffer.h"

#include "kernels/cast.h"
#include "tools/bench_measure.h"

namespace expunge::tools {
namespace {

DType type_here(DType there) {
  return is_16_bit(there) ? DType::f32 : there;
}

// Beside `of`, between the types.
void convert(const Tensor& from, const Tensor& to) {
  kernels::cast(from.stream(), {1, from.size(), from.size()}, from.values(), 0, to.values());
}

}  // namespace

BenchBuffer::BenchBuffer(Shape shape, DType type) : here_(shape, type_here(type)) {
  const Stream stream = compute_stream();
  there_ = stream.device == Device::cpu ? here_ : Tensor(shape, type, stream);
}

BenchBuffer BenchBuffer::drawn(Shape shape, uint32_t key, DType type) {
  const BenchBuffer buffer(shape, type);
  fill_uniform(buffer.here(), key);
  buffer.send();
  return buffer;
}

BenchBuffer BenchBuffer::of(const Tensor& there) {
  BenchBuffer buffer;
  buffer.there_ = there;
  buffer.here_ = there.to({});
  return buffer;
}

void BenchBuffer::send() const {
  if (there_.stream().device == Device::cpu) return;
  if (there_.dtype() == here_.dtype()) return there_.copy_from(here_);
  convert(here_.to(there_.stream()), there_);
  fetch();
}

void BenchBuffer::fetch() const {
  if (there_.stream().device == Device::cpu) return;
  if (there_.dtype() == here_.dtype()) return here_.copy_from(there_);
  const Tensor wide(there_.shape(), here_.dtype(), there_.stream());
  convert(there_, wide);
  here_.copy_from(wide);
}

double BenchBuffer::bytes() const {
  return static_cast<double>(there_.size()) * static_cast<double>(size_of(there_.dtype()));
}

double bytes_of(std::initializer_list<BenchBuffer> buffers) {
  double bytes = 0;
  for (const BenchBuffer& buffer : buffers) bytes += buffer.bytes();
  return bytes;
}

double sum_tolerance(const BenchBuffer& result) {
  const DType type = result.values().type;
  return is_16_bit(type) ? rounding(type) : kSumTolerance;
}

}  // namespace expunge::tools
