
#include <cerrno>
#include <new>
#include <system_error>

#include "tools/command_line.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

struct Verb {
  const char* name;
  ExitCode (*run)(Settings&);
};
constexpr Verb kVerbs[] = {{"train", run_train},
                           {"unlearn", run_unlearn},
                           {"eval", run_eval},
                           {"compare", run_compare},
                           {"predict", run_predict},
                           {"convert", run_convert},
                           {"inspect", run_inspect},
                           {"data-prepare", run_data_prepare},
                           {"data-corrupt", run_data_corrupt},
                           {"data-verify", run_data_verify},
                           {"data-info", run_data_info},
                           {"list", run_list},
                           {"bench-kernels", run_bench_kernels},
                           {"bench-train", run_bench_train},
                           {"bench-infer", run_bench_infer},
                           {"bench-step", run_bench_step},
                           {"bench-unlearn", run_bench_unlearn},
                           {"sweep", run_sweep},
                           {"recipe-list", run_recipe_list},
                           {"recipe-check", run_recipe_check},
                           {"doctor", run_doctor},
                           {"version", run_version}};

ExitCode run(int argc, char** argv) {
  CommandLine line = parse_command_line(argc, argv);
  if (!line.answer.empty()) return print_out(line.answer), ExitCode::done;
  for (const Verb& verb : kVerbs)
    if (line.settings.verb() == verb.name) return verb.run(line.settings);
  fail(ExitCode::internal, "verb {} is in the command line but not in main", line.settings.verb());
}

}  // namespace
}  // namespace expunge::tools

// The only place that catches: every failure is one sentence and a documented exit code
// (docs/exit-codes.md).
int main(int argc, char** argv) {
  using expunge::ExitCode;
  using expunge::tools::say;
  ExitCode code = ExitCode::internal;
  try {
    expunge::tools::install_signal_handlers();
    code = expunge::tools::run(argc, argv);
  } catch (const expunge::Error& error) {
    code = error.code();
    // a reader that went away (| head) is no failure worth a word
    if (errno != EPIPE || code != ExitCode::io) say("expunge: {}\n", error.what());
    if (code == ExitCode::internal) say("expunge: this is a bug of ours; please report it\n");
  } catch (const std::bad_alloc&) {
    code = ExitCode::memory;
    say("expunge: out of memory\n");
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;
    if (no_thread) code = ExitCode::memory;
    say("expunge: {}{}\n", error.what(),
        no_thread ? ": no memory for a thread" : "; this is a bug of ours, please report it");
  } catch (const std::exception& error) {
    say("expunge: {}; this is a bug of ours, please report it\n", error.what());
  }
  return static_cast<int>(code);
}
