#include <fmt/core.h>

#include <chrono>
#include <filesystem>

#include "core/parallel.h"
#include "data/corrupt.h"
#include "data/dataset.h"
#include "data/prepare.h"
#include "tools/say.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

std::string words_of_record(const data::Dataset& set) {
  std::string text;
  if (!set.mislabeled.empty())
    text += fmt::format("{} samples mislabeled\n", set.mislabeled.size());
  if (!set.poisoned.empty())
    text += fmt::format(
        "{} samples poisoned: a black square of {} pixels, {} from the lower right corner, "
        "labelled "
        "{}\n",
        set.poisoned.size(), set.trigger.side, set.trigger.margin,
        set.classes[static_cast<size_t>(set.trigger.target)]);
  return text;
}

std::string json_of_record(const data::Dataset& set) {
  std::string text;
  if (!set.mislabeled.empty()) text += fmt::format(",\"mislabeled\":{}", set.mislabeled.size());
  if (!set.poisoned.empty())
    text +=
        fmt::format(",\"poisoned\":{},\"trigger\":{{\"target\":{},\"side\":{},\"margin\":{}}}",
                    set.poisoned.size(), set.trigger.target, set.trigger.side, set.trigger.margin);
  return text;
}

std::string describe(const data::Dataset& set) {
  std::string text =
      fmt::format("{}: {} training and {} test images of {}x{}x{}, {} classes\ndigest {}\n",
                  set.name, set.train_count, set.test_count, set.height, set.width, set.channels,
                  set.classes.size(), set.digest);
  text += words_of_record(set);
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
      "\"digest\":\"{}\",\"classes\":[{}]{}{}}}\n",
      json_string(set.name), set.height, set.width, set.channels, set.train_count, set.test_count,
      set.digest, classes, json_of_record(set), more);
}

// A share of the training samples, an option of data corrupt; 0 where it was not given.
double share_of(const Settings& settings, const char* name) {
  const double share = settings.real(name);
  if (settings.given(name) && !(share > 0 && share < 1))
    fail(ExitCode::usage, "--{}: expected a share of the training samples above 0 and below 1",
         name);
  return share;
}

data::Trigger trigger_of(const Settings& settings, const data::Dataset& set) {
  const std::string& target = settings.text("target");
  const std::optional<size_t> label = set.find_class(target);
  if (!label)
    fail(ExitCode::usage,
         "--target is '{}', expected a class of {}: a name, or a number from 0 to {}", target,
         set.name, set.classes.size() - 1);
  return {.target = static_cast<int64_t>(*label),
          .side = settings.integer("patch"),
          .margin = settings.integer("margin")};
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

ExitCode run_data_corrupt(Settings& settings) {
  const std::string& source = single_argument(settings, "a packed file, or builtin");
  const std::string& out = settings.text("out");
  if (out.empty())
    fail(ExitCode::usage, "data corrupt: --out FILE is missing, the packed file to write");
  const double mislabel = share_of(settings, "mislabel"), poison = share_of(settings, "poison");
  if ((mislabel > 0) == (poison > 0))
    fail(ExitCode::usage,
         "data corrupt: expected one of --mislabel X and --poison X; for both, corrupt twice");
  for (const char* name : {"target", "patch", "margin"})
    if (mislabel > 0 && settings.given(name)) fail(ExitCode::usage, "--{}: is for --poison", name);
  data::Dataset set = data::open_dataset(source);
  const auto seed = static_cast<uint64_t>(settings.integer("seed"));
  if (mislabel > 0)
    data::mislabel(set, mislabel, seed);
  else
    data::poison(set, poison, trigger_of(settings, set), seed);
  set.name = !settings.text("name").empty()
                 ? settings.text("name")
                 : set.name + (mislabel > 0 ? "-mislabeled" : "-poisoned");
  data::write_packed(out, set);
  print_out(settings.flag("json")
                ? describe_json(set, fmt::format(",\"file\":{}", json_string(out)))
                : fmt::format("{}\n{}: written\n", describe(set), out));
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
