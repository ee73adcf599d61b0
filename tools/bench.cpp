#include <fmt/core.h>

#include "core/parallel.h"
#include "kernels/isa.h"
#include "tools/bench_train.h"
#include "tools/experiment.h"
#include "tools/verbs.h"

namespace expunge::tools {

ExitCode run_bench(Settings& settings) {
  apply_machine_options(settings);
  const BenchTrain options{.model = settings.text("model"),
                           .batch_size = settings.integer("batch-size"),
                           .steps = static_cast<int>(settings.integer("steps")),
                           .warmup = static_cast<int>(settings.integer("warmup-steps"))};
  const BenchTrainResult r = bench_train(options);
  if (settings.flag("json"))
    print_out(fmt::format(
        "{{\"schema\":\"expunge.bench/"
        "1\",\"name\":\"train\",\"model\":{},\"batch\":{},\"threads\":{},"
        "\"instruction_set\":\"{}\",\"steps\":{},\"median_ms\":{:.3f},\"min_ms\":{:.3f},\"max_ms\":"
        "{:.3f},"
        "\"images_per_s\":{:.2f},\"gflops\":{:.1f},\"peak_rss_mb\":{}}}\n",
        json_string(options.model), options.batch_size, thread_count(), kernels::isa_name(),
        options.steps, r.median_ms, r.min_ms, r.max_ms, r.images_per_s, r.gflops, r.peak_rss_mb));
  else
    print_out(
        fmt::format("{} batch {}, {} threads, {}: {:.1f} ms a step (median of {}, {:.1f} to "
                    "{:.1f}), {:.1f} images/s, "
                    "{:.1f} GFLOP/s, peak {} MB; loss {:.4f} -> {:.4f}\n",
                    options.model, options.batch_size, thread_count(), kernels::isa_name(),
                    r.median_ms, options.steps, r.min_ms, r.max_ms, r.images_per_s, r.gflops,
                    r.peak_rss_mb, r.first_loss, r.last_loss));
  return ExitCode::done;
}

}  // namespace expunge::tools
