#include <fmt/core.h>

#include <chrono>
#include <filesystem>

#include "core/parallel.h"
#include "data/dataset.h"
#include "data/prepare.h"
#include "tools/say.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

std::string describe(const data::Dataset& set) {
  std::string text =
      fmt::format("{}: {} training and {} test images of {}x{}x{}, {} classes\ndigest {}\n",
                  set.name, set.train_count, set.test_count, set.height, set.width, set.channels,
                  set.classes.size(), set.digest);
  const auto train = set.class_counts(0, set.train_count),
             test = set.class_counts(set.train_count, set.count());
  text += fmt::format("\n  {:<20} {:>8} {:>8}\n", "class", "train", "test");
  for (size_t c = 0; c < set.classes.size(); ++c)
    text += fmt::format("  {:<20} {:>8} {:>8}\n", fmt::format("{} {}", c, set.classes[c]), train[c],
                        test[c]);
  return text;
}

std::string describe_json(const data::Dataset& set, const std::string& more = "") {
  const auto train = set.class_counts(0, set.train_count),
             test = set.class_counts(set.train_count, set.count());
  std::string classes;
  for (size_t c = 0; c < set.classes.size(); ++c)
    classes += fmt::format("{}{{\"name\":{},\"train\":{},\"test\":{}}}", c > 0 ? "," : "",
                           json_string(set.classes[c]), train[c], test[c]);
  return fmt::format(
      "{{\"schema\":\"expunge.data/"
      "1\",\"name\":{},\"height\":{},\"width\":{},\"channels\":{},\"train\":{},\"test\":{},"
      "\"digest\":\"{}\",\"classes\":[{}]{}}}\n",
      json_string(set.name), set.height, set.width, set.channels, set.train_count, set.test_count,
      set.digest, classes, more);
}

}  // namespace

ExitCode run_data_prepare(Settings& settings) {
  const std::string& source = single_argument(settings, "the source folder or .mat file");
  const std::string& out = settings.text("out");
  if (out.empty())
    fail(ExitCode::usage, "data prepare: --out FILE is missing, the packed file to write");
  set_thread_count(static_cast<int>(settings.integer("threads")));
  const auto begin = std::chrono::steady_clock::now();
  const data::Prepared prepared =
      data::prepare(source, {.name = settings.text("name"),
                             .skip_bad = settings.flag("skip-bad"),
                             .resize = settings.integer("resize"),
                             .test_fraction = settings.real("test-fraction")});
  data::write_packed(out, prepared.set);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const data::BadFile& bad : prepared.bad) say("left out {}: {}\n", bad.path, bad.reason);
  if (settings.flag("json"))
    print_out(
        describe_json(prepared.set, fmt::format(",\"file\":{},\"left_out\":{},\"seconds\":{:.3f}",
                                                json_string(out), prepared.bad.size(), seconds)));
  else
    print_out(fmt::format("{}\n{}: written in {:.1f} s, {} files left out\n",
                          describe(prepared.set), out, seconds, prepared.bad.size()));
  return ExitCode::done;
}

ExitCode run_data_verify(Settings& settings) {
  const std::string& file = single_argument(settings, "the packed file");
  const data::Dataset set = data::verify_packed(file);
  print_out(settings.flag("json") ? describe_json(set)
                                  : fmt::format("{}: intact, digest {}\n", file, set.digest));
  return ExitCode::done;
}

ExitCode run_data_info(Settings& settings) {
  const data::Dataset set =
      data::open_dataset(single_argument(settings, "a packed file, or builtin"));
  print_out(settings.flag("json") ? describe_json(set) : describe(set));
  return ExitCode::done;
}

}  // namespace expunge::tools
