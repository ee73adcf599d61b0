#include <fmt/core.h>

#include "core/parallel.h"
#include "kernels/isa.h"
#include "tools/bench_train.h"
#include "tools/bench_unlearn.h"
#include "tools/experiment.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

struct UnlearnRow {
  std::string gate;
  BenchUnlearnResult r;
};

std::string as_md(const Settings& s, double triad, const std::vector<UnlearnRow>& rows) {
  std::string text = fmt::format(
      "{}, {} parameters, estimator {}, {} threads, {}; triad {:.1f} GB/s\n\n"
      "| gate | ms | min..max | B/parameter | GB/s | % of triad | Mparam/s |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n",
      s.text("model"), rows.front().r.parameters, s.text("estimator"), thread_count(),
      kernels::isa_name(), triad);
  for (const auto& [gate, r] : rows)
    text += fmt::format("| {} | {:.2f} | {:.2f}..{:.2f} | {} | {:.1f} | {:.0f} | {:.0f} |\n", gate,
                        r.median_ms, r.min_ms, r.max_ms, r.bytes_per_parameter, r.gb_per_s(),
                        100 * r.gb_per_s() / triad, r.mparam_per_s());
  return text;
}

std::string as_csv(const Settings& s, double triad, const std::vector<UnlearnRow>& rows) {
  std::string text =
      "model,estimator,gate,threads,instruction_set,parameters,median_ms,min_ms,max_ms,"
      "bytes_per_parameter,gb_per_s,triad_gb_per_s,mparam_per_s\n";
  for (const auto& [gate, r] : rows)
    text += fmt::format("{},\"{}\",{},{},{},{},{:.4f},{:.4f},{:.4f},{},{:.2f},{:.2f},{:.1f}\n",
                        s.text("model"), s.text("estimator"), gate, thread_count(),
                        kernels::isa_name(), r.parameters, r.median_ms, r.min_ms, r.max_ms,
                        r.bytes_per_parameter, r.gb_per_s(), triad, r.mparam_per_s());
  return text;
}

std::string as_json(const Settings& s, double triad, const std::vector<UnlearnRow>& rows) {
  std::string text = fmt::format(
      "{{\"schema\":\"expunge.bench/1\",\"name\":\"unlearn\",\"model\":{},\"estimator\":{},"
      "\"threads\":{},\"instruction_set\":\"{}\",\"parameters\":{},\"triad_gb_per_s\":{:.2f},"
      "\"rows\":[",
      json_string(s.text("model")), json_string(s.text("estimator")), thread_count(),
      kernels::isa_name(), rows.front().r.parameters, triad);
  for (const auto& [gate, r] : rows)
    text += fmt::format(
        "{}{{\"gate\":{},\"median_ms\":{:.4f},\"min_ms\":{:.4f},\"max_ms\":{:.4f},"
        "\"bytes_per_parameter\":{},\"gb_per_s\":{:.2f},\"mparam_per_s\":{:.1f}}}",
        &r == &rows.front().r ? "" : ",", json_string(gate), r.median_ms, r.min_ms, r.max_ms,
        r.bytes_per_parameter, r.gb_per_s(), r.mparam_per_s());
  return text + "]}\n";
}

}  // namespace

ExitCode run_bench_unlearn(Settings& settings) {
  apply_machine_options(settings);
  BenchUnlearn options{.model = settings.text("model"),
                       .estimator = unlearn::EstimatorSpec::parse(settings.text("estimator")),
                       .steps = static_cast<int>(settings.integer("steps")),
                       .warmup = static_cast<int>(settings.integer("warmup-steps"))};
  const std::vector<std::string> gates = settings.list("gate");
  for (const std::string& gate : gates) unlearn::GateSpec::parse(gate);
  std::vector<UnlearnRow> rows;
  const double triad = triad_gb_per_s();
  for (const std::string& gate : gates) {
    options.gate = unlearn::GateSpec::parse(gate);
    rows.push_back({gate, bench_unlearn(options)});
  }
  const std::string& format = settings.text("format");
  print_out(format == "md"    ? as_md(settings, triad, rows)
            : format == "csv" ? as_csv(settings, triad, rows)
                              : as_json(settings, triad, rows));
  return ExitCode::done;
}

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
