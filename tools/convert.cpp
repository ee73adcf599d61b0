
#include "core/check.h"
#include "core/file.h"
#include "nn/model_file.h"
#include "tools/config_file.h"
#include "tools/experiment.h"
#include "tools/model_card.h"
#include "tools/run_folder.h"
#include "tools/say.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// A copy of a run's weights, which are in PyTorch's naming already.
void export_weights(const fs::path& from, const fs::path& to) {
  const ModelFile file = load_model_file(from);
  save_model_file(to, file.model, file.card);
  say("{}: {} with {} parameters, in PyTorch's names and order\n", to.string(), file.card.model,
      file.model.parameter_count());
}

// The training settings of a run that was not trained here: data and split as given, the rest by
// default.
Settings imported_settings(const Settings& typed, const std::string& model) {
  Settings settings("train");
  for (const char* name : {"data", "val-fraction", "split-seed", "limit", "seed"})
    settings.set(name, typed.text(name), Source::flag, std::string("--") + name);
  settings.set("model", model, Source::flag, "--model");
  settings.set("epochs", "1", Source::flag, "--epochs");
  return settings;
}

std::string network_of(const SafeTensors& file, const fs::path& path, const std::string& named) {
  if (!named.empty()) return named;
  if (const auto card = read_card(file.metadata, path)) return card->model;
  if (const auto found = nn::identify(file)) return found->model;
  fail(ExitCode::input,
       "{}: its names and shapes are those of no network of ours; --model NAME shows the "
       "differences",
       path.string());
}

void import_weights(const fs::path& from, const fs::path& to, const Settings& typed) {
  if (typed.text("data").empty())
    fail(ExitCode::usage,
         "convert: --data FILE is missing, the packed data set that the run belongs to");
  const SafeTensors file = read_safetensors(from);
  const Settings settings = imported_settings(typed, network_of(file, from, typed.text("model")));
  Experiment e = make_experiment(settings);
  nn::fill_model(file, from, e.model);
  const RunFolder run = RunFolder::create(to);
  write_config(run.config(), settings);
  save_model_file(run.model("last"), e.model, card_of(e.model, e.data));
  write_run_json(run.path(), {.status = "imported",
                              .model = e.model.name,
                              .data = settings.text("data"),
                              .data_digest = e.data.digest,
                              .parameters = e.model.parameter_count(),
                              .train_samples = std::ssize(e.train)});
  say("{}: a run of {} with {} parameters; expunge eval {} measures it\n", to.string(),
      e.model.name, e.model.parameter_count(), to.string());
}

}  // namespace

ExitCode run_convert(Settings& settings) {
  if (settings.arguments.size() != 2)
    fail(ExitCode::usage, "convert: expected two arguments, what to read and what to write, got {}",
         settings.arguments.size());
  const fs::path from = settings.arguments[0], to = settings.arguments[1];
  const fs::path weights = weights_of(from, settings.text("checkpoint"));
  if (to.extension() == ".safetensors")
    export_weights(weights, to);
  else
    import_weights(weights, to, settings);
  return ExitCode::done;
}

}  // namespace expunge::tools
