#include "device/twins.h"

#if defined(EXPUNGE_CUDA_EMULATED)
#include "core/tensor.h"
#include "core/work_graph.h"
#include "device/with_memory.h"
#include "support/error.h"

// A GPU whose memory is full.
namespace expunge {
namespace {

using namespace test;

constexpr int64_t kMegabyte = int64_t{1} << 18;  // in floats

}  // namespace

TEST_CASE("device: what is cached is given back before memory is out") {
  const WithMemory some(8);
  { const Tensor small({3 * kMegabyte}, DType::f32, device()); }
  const Tensor large({7 * kMegabyte}, DType::f32, device());
  CHECK(error_code([] { Tensor({3 * kMegabyte}, DType::f32, device()); }) == ExitCode::memory);
}

TEST_CASE("device: a step that is recorded gives nothing back, and ends where there is no memory") {
  const WithMemory some(8);
  { const Tensor cached({3 * kMegabyte}, DType::f32, device()); }
  const auto take = [] { Tensor({7 * kMegabyte}, DType::f32, device()); };
  CHECK(error_code([&] { WorkGraph(device(), take); }) == ExitCode::memory);
  take();  // and nothing is left of it
}

}  // namespace expunge
#endif
