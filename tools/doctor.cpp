#include <fmt/core.h>
#include <unistd.h>

#include <fstream>

#include "core/memory_cuda.h"
#include "core/parallel.h"
#include "data/mat_file.h"
#include "kernels/isa.h"
#include "tools/verbs.h"
#include "tools/version.h"

namespace expunge::tools {
namespace {

struct Fact {
  std::string name, value;
};

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string instruction_sets() {
  std::string text;
  for (kernels::Isa isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512})
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", kernels::isa_name(isa),
                        kernels::isa_supported(isa) ? "" : " (not here)");
  return text;
}

std::string cuda_state() {
  if constexpr (!kCudaBuild) return "off: built without CUDA (-DEXPUNGE_CUDA=on)";
  if constexpr (kCudaEmulated) return "emulated: kernels run on the CPU, for tests";
  if constexpr (kCudaBuild) {
    const std::string problem = cuda_problem(0);
    return problem.empty() ? "on: " + cuda_name(0) : "built in, but " + problem;
  }
}

std::vector<Fact> facts() {
  const double gib = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                     static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 30);
  return {{"version", version_text()},
          {"cpu", cpu_name()},
          {"threads", fmt::format("{} (those this process may use)", thread_count())},
          {"memory", fmt::format("{:.1f} GiB", gib)},
          {"instruction sets", instruction_sets()},
          {"in use", fmt::format("{} (EXPUNGE_ISA chooses)", kernels::isa_name())},
          {"cuda", cuda_state()},
          {"SVHN .mat files",
           data::mat_supported() ? "on (matio)" : "off: built without matio (libmatio-dev)"}};
}

}  // namespace

ExitCode run_doctor(Settings& settings) {
  std::string text;
  for (const Fact& f : facts())
    text += settings.flag("json") ? fmt::format(",{}:{}", json_string(f.name), json_string(f.value))
                                  : fmt::format("{:<18} {}\n", f.name, f.value);
  print_out(settings.flag("json") ? fmt::format("{{\"schema\":\"expunge.doctor/1\"{}}}\n", text)
                                  : text);
  return ExitCode::done;
}

ExitCode run_version(Settings& settings) {
  print_out(settings.flag("json")
                ? fmt::format("{{\"schema\":\"expunge.version/1\",\"version\":{},\"text\":{}}}\n",
                              json_string(version()), json_string(version_text()))
                : version_text() + "\n");
  return ExitCode::done;
}

}  // namespace expunge::tools
