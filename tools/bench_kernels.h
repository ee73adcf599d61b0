#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/check.h"
#include "kernels/conv2d.h"
#include "tools/bench_measure.h"
#include "tools/options.h"

// Every kernel on the shapes of real networks, where --device says.
namespace expunge::tools {

// A kernel with its buffers.
struct KernelRun {
  std::function<void()> call{};
  // Compares what the first call left with plain loops in double; otherwise
  // ExitCode::verification, in a sentence that begins with the row's name.
  std::function<void()> check{};
  Tensor result{};        // what `check` looks at; none where it makes buffers of its own
  double flops = 0;       // of a call by the formula, additions and multiplications; 0: not counted
  const char* algo = "";  // of a convolution: what --conv-algo comes to on this shape
  double bytes = 0;       // that a call must read and write at least
  bool waits = false;     // for the GPU, or is a CUDA graph itself: not recorded
};

// A row of the benchmark: a kernel on one shape, and how often the networks have it.
struct KernelCase {
  std::string kernel;                 // "conv2d forward"
  std::string shape;                  // "64-128 32x32 k3 s2"
  std::map<std::string, int> layers;  // by network; none: not a layer
  std::function<KernelRun(const std::string& name)> prepare;

  std::string name() const { return kernel + " " + shape; }
};
std::vector<KernelCase> kernel_cases(const std::vector<std::string>& models, int64_t batch_size);

// `bench kernels` with rows of another origin: the same options, checks and table.
using KernelCases = std::vector<KernelCase>(const std::vector<std::string>& models,
                                            int64_t batch_size);
ExitCode bench_kernels(const Settings& settings, const std::function<KernelCases>& cases);

struct KernelResult {
  Timing time;
  const char* algo;
  double flops, bytes;
  double memory_mb;  // most that the kernel and its buffers had of the pool
};
struct KernelTiming {
  int warmup, steps;
  bool record = true;  // on a GPU: calls are timed as a CUDA graph, so that no launch is
};
KernelResult run_kernel_case(const KernelCase& row, const KernelTiming& how);

// Rows that were timed, and why others were not: those whose result is wrong, and those that a
// signal left.
struct TimedRows {
  std::vector<KernelCase> rows;
  std::vector<KernelResult> results;
  std::vector<std::string> notes;
  ExitCode code = ExitCode::done;
};
TimedRows time_rows(const std::vector<KernelCase>& rows, const KernelTiming& how);

// The distinct convolutions and linear layers of the networks in one direction, in order.
enum class Direction : unsigned char { forward, backward_data, backward_weights };
inline constexpr Direction kDirections[] = {Direction::forward, Direction::backward_data,
                                            Direction::backward_weights};
struct ConvCase {
  Direction direction;
  kernels::Conv2dShape shape;
  std::string kernel, label;
  std::map<std::string, int> layers;
};
std::vector<ConvCase> conv_cases(const std::vector<std::string>& models, int64_t batch_size);

// y, dx or dw, by direction, against 64 elements in double, drawn at random. a, b: the inputs in
// the order of the kernel's arguments. bias: (K) or null, forward only.
struct ConvResult {
  const float *a, *b, *bias, *out;
  bool wide = false;  // f32 of 16-bit data, and not rounded
};
void check_conv(const std::string& name, Direction direction, const kernels::Conv2dShape& shape,
                const ConvResult& r);

// Convolutions of a GPU that are our own (bench_conv_own.cpp): of images, and gradients of weights
// by taps; and whether they have a row.
bool is_of_images(const ConvCase& row);
KernelRun prepare_images(const ConvCase& row, const std::string& name);
bool is_of_taps(Direction direction, const kernels::Conv2dShape& shape);
KernelRun prepare_taps(const ConvCase& row, const std::string& name);

// Parts of kernel_cases().
void add_conv_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                    int64_t batch_size);
void add_winograd_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                        int64_t batch_size);
void add_norm_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                    int64_t batch_size);
void add_layer_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                     int64_t batch_size);
void add_move_cases(std::vector<KernelCase>& rows, int64_t batch_size);
void add_flat_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models);
// A row, or one more layer of the row of that name.
void add_case(std::vector<KernelCase>& rows, KernelCase row);

// got[i] against expected(i) for every `stride`-th element:
// |got - expected| <= tolerance (1 + |expected|).
void check_elements(const std::string& name, const Tensor& got, int64_t stride, double tolerance,
                    FunctionRef<double(int64_t)> expected);

}  // namespace expunge::tools
