#pragma once

#include "core/check.h"
#include "tools/options.h"

namespace expunge::tools {

// One function a verb; main maps what they throw to exit codes. Data goes to stdout, talk to
// stderr.
ExitCode run_train(Settings& settings);
ExitCode run_unlearn(Settings& settings);
ExitCode run_eval(Settings& settings);
ExitCode run_compare(Settings& settings);
ExitCode run_predict(Settings& settings);
ExitCode run_convert(Settings& settings);
ExitCode run_inspect(Settings& settings);
ExitCode run_data_prepare(Settings& settings);
ExitCode run_data_corrupt(Settings& settings);
ExitCode run_data_verify(Settings& settings);
ExitCode run_data_info(Settings& settings);
ExitCode run_list(Settings& settings);
ExitCode run_bench_kernels(Settings& settings);
ExitCode run_bench_train(Settings& settings);
ExitCode run_bench_infer(Settings& settings);
ExitCode run_bench_step(Settings& settings);
ExitCode run_bench_unlearn(Settings& settings);
ExitCode run_sweep(Settings& settings);
ExitCode run_recipe_list(Settings& settings);
ExitCode run_recipe_check(Settings& settings);
ExitCode run_doctor(Settings& settings);
ExitCode run_version(Settings& settings);

// The verb's one argument. None or more: ExitCode::usage.
const std::string& single_argument(const Settings& settings, const char* what);

// Text to stdout; a closed pipe or a full disk becomes Error(ExitCode::io).
void print_out(const std::string& text);

// `text` as a JSON string, quotes included.
std::string json_string(const std::string& text);

}  // namespace expunge::tools
