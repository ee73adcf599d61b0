#include <fmt/core.h>

#include <filesystem>

#include "eval/accuracy.h"
#include "tools/experiment.h"
#include "tools/signals.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

struct Part {
  std::string name;
  const std::vector<int32_t>* positions;
};

std::vector<Part> parts_of(const Experiment& e, const std::string& wanted) {
  const Part all[] = {{"train", &e.train},
                      {"val", &e.split.val},
                      {"test", &e.split.test},
                      {"forget", &e.forgotten}};
  std::vector<Part> parts;
  for (const Part& part : all)
    if ((wanted == "all" || wanted == part.name) && !part.positions->empty()) parts.push_back(part);
  if (parts.empty()) fail(ExitCode::input, "this run has no {} samples", wanted);
  return parts;
}

std::string class_table(const data::Dataset& set, const eval::Accuracy& a) {
  std::string text = fmt::format("\n  {:<16} {:>8} {:>9}   predicted as\n  {:<16} {:>8} {:>9} ",
                                 "class", "samples", "accuracy", "", "", "");
  for (int64_t p = 0; p < a.classes; ++p) text += fmt::format(" {:>6}", p);
  for (int64_t t = 0; t < a.classes; ++t) {
    text += fmt::format("\n  {:<16} {:>8} {:>8.2f}% ",
                        fmt::format("{} {}", t, set.classes[static_cast<size_t>(t)]), a.count(t),
                        100 * a.class_accuracy(t));
    for (int64_t p = 0; p < a.classes; ++p)
      text += fmt::format(" {:>6}", a.confusion[static_cast<size_t>(t * a.classes + p)]);
  }
  return text + "\n";
}

std::string json_part(const data::Dataset& set, const std::string& name, const eval::Accuracy& a) {
  std::string classes, confusion;
  for (int64_t t = 0; t < a.classes; ++t) {
    classes += fmt::format("{}{{\"name\":{},\"samples\":{},\"accuracy\":{:.8g}}}", t > 0 ? "," : "",
                           json_string(set.classes[static_cast<size_t>(t)]), a.count(t),
                           a.class_accuracy(t));
    confusion += t > 0 ? ",[" : "[";
    for (int64_t p = 0; p < a.classes; ++p)
      confusion += fmt::format("{}{}", p > 0 ? "," : "",
                               a.confusion[static_cast<size_t>(t * a.classes + p)]);
    confusion += "]";
  }
  return fmt::format(
      "\"{}\":{{\"samples\":{},\"correct\":{},\"accuracy\":{:.8g},\"loss\":{:.8g},\"classes\":[{}],"
      "\"confusion\":[{}]}}",
      name, a.samples, a.correct, a.accuracy(), a.loss(), classes, confusion);
}

}  // namespace

ExitCode run_eval(Settings& settings) {
  const fs::path folder = single_argument(settings, "a run folder");
  apply_machine_options(settings);
  const LoadedRun run = load_run(folder, settings.text("checkpoint"));
  const Experiment& e = run.experiment;
  const fs::path& file = run.weights;
  std::string text, json;
  for (const Part& part : parts_of(e, settings.text("part"))) {
    data::Loader loader(
        e.data, {.positions = *part.positions, .batch_size = settings.integer("batch-size")});
    const eval::Accuracy a =
        eval::measure_accuracy(e.model, loader, [] { return !stop_requested(); });
    if (stop_requested()) return static_cast<ExitCode>(128 + stop_signal());
    text += fmt::format("{:<7} {:>7} samples  accuracy {:>6.2f}%  loss {:.4f}\n", part.name,
                        a.samples, 100 * a.accuracy(), a.loss());
    if (part.name == "test" || settings.text("part") == part.name) text += class_table(e.data, a);
    json += (json.empty() ? "" : ",") + json_part(e.data, part.name, a);
  }
  if (settings.flag("json"))
    print_out(fmt::format(
        "{{\"schema\":\"expunge.eval/1\",\"run\":{},\"checkpoint\":{},\"parts\":{{{}}}}}\n",
        json_string(folder.string()), json_string(file.filename().string()), json));
  else
    print_out(fmt::format("{}, {}\n{}", folder.string(), file.filename().string(), text));
  return ExitCode::done;
}

}  // namespace expunge::tools
