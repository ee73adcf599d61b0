#include "tools/bench/rivals/rival.h"

#include <omp.h>

#include <vector>

#include "core/parallel.h"
#include "tools/command_line.h"
#include "tools/say.h"

namespace expunge::rivals {
namespace {

using tools::Direction;

tools::KernelRun prepare_run(const char* name, const tools::ConvCase& row,
                             const std::string& row_name, const Prepare& prepare) {
  const kernels::Conv2dShape s = row.shape;
  const Problem p{row.direction, s, Tensor({s.N, s.H, s.W, s.C}), Tensor({s.K, s.R, s.S, s.C}),
                  Tensor({s.N, s.P(), s.Q(), s.K})};
  tools::fill_uniform(p.x, 1), tools::fill_uniform(p.w, 2), tools::fill_uniform(p.y, 3);
  omp_set_num_threads(thread_count());  // what oneDNN runs on
  const Prepared prepared = prepare(p);
  tools::KernelRun run{.call = prepared.call, .algo = name};
  run.flops = 2 * static_cast<double>(s.macs());
  run.bytes = 4 * static_cast<double>(p.x.size() + p.w.size() + p.y.size());
  run.check = [=] {
    if (prepared.fetch) prepared.fetch();
    const bool forward = p.direction == Direction::forward,
               data = p.direction == Direction::backward_data;
    tools::check_conv(row_name, p.direction, s,
                      {.a = data ? p.y.data() : p.x.data(),
                       .b = forward || data ? p.w.data() : p.y.data(),
                       .bias = nullptr,
                       .out = (forward ? p.y
                               : data  ? p.x
                                       : p.w)
                                  .data()});
  };
  return run;
}

}  // namespace

int run_rival(const char* name, int argc, char** argv, const Prepare& prepare) {
  std::vector<const char*> typed = {"expunge", "bench", "kernels"};
  typed.insert(typed.end(), argv + 1, argv + argc);
  try {
    const tools::CommandLine line =
        tools::parse_command_line(static_cast<int>(typed.size()), typed.data());
    const auto rows = [&](const std::vector<std::string>& models, int64_t batch_size) {
      std::vector<tools::KernelCase> cases;
      for (const tools::ConvCase& row : tools::conv_cases(models, batch_size))
        if (row.shape.H > 1)  // convolutions only
          cases.push_back({row.kernel, row.label, row.layers, [=](const std::string& row_name) {
                             return prepare_run(name, row, row_name, prepare);
                           }});
      return cases;
    };
    return static_cast<int>(tools::bench_kernels(line.settings, rows));
  } catch (const Error& error) {
    tools::say("{}: {}\n", name, error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    tools::say("{}: {}\n", name, error.what());
    return static_cast<int>(ExitCode::internal);
  }
}

}  // namespace expunge::rivals
