// What a GPU gives, before the CUDA backend is written: copy rate, gaps between kernels, the update
// of unlearning with the product's maths. One JSON line a measurement; a failed check says "ok":
// false, and the program returns 1 at its end.
//   nvcc -O3 -std=c++20 -arch=native --fmad=false -I. tools/bench/gpu/measure_first.cu -o
//   measure_first
//   ./measure_first [--parts copy,gaps,update,warm,batches,chunks]
//   ./measure_first --host       the checks alone, the kernels' bodies run on the CPU
// --fmad=false is how the backend shall round; build again without it to see what it costs.
#include <cstring>
#include <random>
#include <string>

#include "tools/bench/gpu/batch_bench.cuh"
#include "tools/bench/gpu/gap_bench.cuh"
#include "tools/bench/gpu/update_bench.cuh"
#include "tools/bench/gpu/warm_bench.cuh"

namespace expunge::gpu_bench {
namespace {

// GB/s of cudaMemcpy from device to device, bytes read and written: the ceiling of everything here.
double measure_copy(cudaStream_t stream) {
  double rate = 0.0;
  for (const int64_t megabytes : {512, 2048}) {
    const int64_t n = megabytes << 18;
    DeviceArray<> x(n), y(n);
    fill(stream, x.get(), n, 1, 1.0f);
    const Times t = time_launches(
        stream,
        [&](int64_t) {
          BENCH_CUDA(cudaMemcpyAsync(y.get(), x.get(), 4 * n, cudaMemcpyDeviceToDevice, stream));
        },
        30, 1);
    const double reached = 8.0 * n / t.median / 1e3;
    rate = std::max(rate, reached);
    emit("copy",
         "\"megabytes\": %lld, \"median_us\": %.1f, \"p10_us\": %.1f, \"p90_us\": %.1f, "
         "\"samples\": %d, \"GBps\": %.1f",
         static_cast<long long>(megabytes), t.median, t.p10, t.p90, t.samples, reached);
  }
  return rate;
}

void check_all(cudaStream_t stream, bool host, bool updates, bool batches) {
  std::random_device device;
  const uint64_t seed = device();
  if (updates) {
    check_update_kernels<Gate::none>(stream, host, seed);
    check_update_kernels<Gate::conjunction>(stream, host, seed + 100);
    check_update_kernels<Gate::prob>(stream, host, seed + 200);
    check_update_kernels<Gate::focus>(stream, host, seed + 300);
  }
  if (batches) check_batch_kernels(stream, host, seed + 400);
}

void describe_device() {
  int device = 0;
  BENCH_CUDA(cudaGetDevice(&device));
  cudaDeviceProp p{};
  BENCH_CUDA(cudaGetDeviceProperties(&p, device));
  multiprocessors = p.multiProcessorCount;
  emit("device",
       "\"gpu\": \"%s\", \"capability\": \"%d.%d\", \"multiprocessors\": %d, "
       "\"l2_bytes\": %d, \"memory_bytes\": %zu, \"fmad\": %s",
       p.name, p.major, p.minor, p.multiProcessorCount, p.l2CacheSize, p.totalGlobalMem,
#ifdef BENCH_FMAD
       "true"
#else
       "false"
#endif
  );
}

void measure_updates(cudaStream_t stream, double copy_rate) {
  for (const int64_t n : kSizes) {
    const UpdateSets sets(stream, n);
    time_update<Gate::prob>(stream, sets, n, copy_rate);
    time_update<Gate::none>(stream, sets, n, copy_rate);
    time_update<Gate::conjunction>(stream, sets, n, copy_rate);
    time_update<Gate::focus>(stream, sets, n, copy_rate);
    time_update<Gate::traffic>(stream, sets, n, copy_rate);  // last: it spoils the moments
  }
}

// A part that fails says so, and the next one starts.
template <class F>
void part(const std::string& parts, const std::string& name, F run) {
  if (("," + parts + ",").find("," + name + ",") == std::string::npos) return;
  try {
    run();
  } catch (const std::exception& e) {
    all_ok = false;
    std::string text = e.what();
    std::replace(text.begin(), text.end(), '"', '\'');
    emit(name, "\"ok\": false, \"error\": \"%s\"", text.c_str());
  }
}

int run(int argc, char** argv) {
  std::string parts = "copy,gaps,update,warm,batches,chunks";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--host") == 0) {
      check_all(nullptr, true, true, true);
      return all_ok ? 0 : 1;
    }
    if (std::strcmp(argv[i], "--parts") != 0 || i + 1 == argc) {
      std::fprintf(stderr, "usage: measure_first [--host] [--parts a,b]\n");
      return 2;
    }
    parts = argv[++i];
  }
  describe_device();
  cudaStream_t stream{};
  BENCH_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  double copy_rate = 1.0;
  part("copy", "copy", [&] { copy_rate = measure_copy(stream); });
  part(parts, "gaps", [&] { measure_gaps(stream); });
  part(parts, "update", [&] {
    check_all(stream, false, true, false);
    measure_updates(stream, copy_rate);
  });
  part(parts, "warm", [&] { measure_warm(stream, copy_rate); });
  part(parts, "batches", [&] {
    check_all(stream, false, false, true);
    measure_batches(stream, copy_rate);
  });
  part(parts, "chunks", [&] { measure_chunks(stream, copy_rate); });
  BENCH_CUDA(cudaStreamDestroy(stream));
  emit("end", "\"ok\": %s", all_ok ? "true" : "false");
  return all_ok ? 0 : 1;
}

}  // namespace
}  // namespace expunge::gpu_bench

int main(int argc, char** argv) {
  try {
    return expunge::gpu_bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "measure_first: %s\n", e.what());
    return 1;
  }
}
