#include "tools/experiment.h"

#include <algorithm>
#include <set>

#include "core/file.h"
#include "data/draw_order.h"
#include "nn/model_file.h"
#include "tools/config_file.h"
#include "tools/model_card.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

nn::FitConfig fit_config(const Settings& s) {
  nn::FitConfig config;
  config.epochs = static_cast<int>(s.integer("epochs"));
  config.max_steps = s.integer("max-steps");
  config.lr = s.real("lr");
  config.schedule = nn::Schedule::parse(s.text("schedule"));
  config.schedule.warmup_epochs = s.real("warmup");
  config.seed = static_cast<uint64_t>(s.integer("seed"));
  return config;
}

data::LoaderConfig loader_config(const Settings& s) {
  data::LoaderConfig config{.batch_size = s.integer("batch-size"), .shuffle = true};
  data::parse_augment(s.text("augment"), config);
  config.seed = static_cast<uint64_t>(s.integer("seed"));
  return config;
}

// Those of the training part with one of the ids.
std::vector<int32_t> positions_of(const std::vector<std::string>& ids, const Experiment& e) {
  const std::set<std::string> wanted(ids.begin(), ids.end());
  std::vector<int32_t> positions;
  if (!wanted.empty())
    for (int32_t p : e.split.train)
      if (wanted.contains(e.data.ids[static_cast<size_t>(p)].hex())) positions.push_back(p);
  return positions;
}

}  // namespace

nn::OptimConfig optimizer_config(const Settings& s) {
  nn::OptimConfig config;
  const std::string& name = s.text("optimizer");
  config.kind = name == "sgd"    ? nn::OptimKind::sgd
                : name == "adam" ? nn::OptimKind::adam
                                 : nn::OptimKind::adamw;
  config.momentum = static_cast<float>(s.real("momentum"));
  config.weight_decay = static_cast<float>(s.real("weight-decay"));
  return config;
}

data::SplitOptions split_options(const Settings& s) {
  return {.val_fraction = s.real("val-fraction"),
          .split_seed = static_cast<uint64_t>(s.integer("split-seed")),
          .limit = s.integer("limit")};
}

void shorten_for_smoke(Experiment& e, const Settings& s) {
  if (s.integer("smoke") == 0) return;
  const auto samples = static_cast<size_t>(s.integer("smoke") * s.integer("batch-size"));
  for (std::vector<int32_t>* part : {&e.train, &e.split.val, &e.split.test, &e.forgotten}) {
    if (part->size() <= samples) continue;
    data::shuffle_keyed(*part, data::draw_key(e.data.digest, 0), rng::Purpose::smoke, 0);
    part->resize(samples);
    std::sort(part->begin(), part->end());
  }
}

Experiment make_experiment(const Settings& s, const fs::path& run,
                           std::vector<std::string> earlier) {
  if (s.text("model") == "linear")
    fail(ExitCode::usage,
         "model linear is a regression and needs targets; data sets of images have classes only");
  Experiment e;
  e.data = data::open_dataset(s.text("data"));
  e.split = data::make_split(e.data, split_options(s));
  e.earlier_ids = run.empty() ? std::move(earlier) : read_ids(run / kEarlierIds);
  e.split.train = data::without(e.split.train, positions_of(e.earlier_ids, e));
  if (!run.empty()) {
    e.forget_ids = read_ids(run / kForgetIds);
    e.forgotten = positions_of(e.forget_ids, e);
  } else if (!s.text("forget").empty()) {
    e.forgotten = data::resolve_forget(s.text("forget"), e.data, e.split,
                                       static_cast<uint64_t>(s.integer("forget-seed")))
                      .positions;
    for (int32_t p : e.forgotten) e.forget_ids.push_back(e.data.ids[static_cast<size_t>(p)].hex());
  }
  e.train = data::without(e.split.train, e.forgotten);
  if (e.train.empty()) fail(ExitCode::input, "{}: no training samples are left", s.text("data"));
  e.model =
      nn::make_model(s.text("model"), {.height = e.data.height,
                                       .width = e.data.width,
                                       .channels = e.data.channels,
                                       .classes = static_cast<int64_t>(e.data.classes.size())});
  return e;
}

Recipe make_recipe(const Settings& s, Experiment& e) {
  Recipe recipe{
      .optim = optimizer_config(s), .fit = fit_config(s), .loss = {}, .loader = loader_config(s)};
  recipe.optim.nesterov = s.flag("nesterov");
  recipe.optim.decay_norm_bias = s.flag("decay-norm-bias");
  recipe.optim.clip_norm = static_cast<float>(s.real("clip-norm"));
  recipe.loss.label_smoothing = static_cast<float>(s.real("label-smoothing"));
  shorten_for_smoke(e, s);
  if (s.integer("smoke") > 0) recipe.fit.epochs = 1;
  recipe.loader.positions = e.train;
  nn::initialise(e.model.params,
                 s.text("init") == "pytorch" ? nn::Init::pytorch : nn::Init::kaiming,
                 recipe.fit.seed);
  return recipe;
}

Settings run_settings(const fs::path& run, const std::string& verb) {
  Settings settings(verb);
  std::error_code error;
  if (!fs::is_regular_file(run / "config.toml", error))
    fail(ExitCode::input, "{}: holds no config.toml, so it is not a run", run.string());
  read_config(run / "config.toml", Source::inherited, settings);
  return settings;
}

LoadedRun load_run(const fs::path& folder, const std::string& which) {
  const RunStatus status = read_run_json(folder);
  if (status.verb != "train" && status.verb != "unlearn")
    fail(ExitCode::input, "{}: run.json names the verb '{}', expected train or unlearn",
         folder.string(), status.verb);
  const Settings settings = run_settings(folder, status.verb);
  LoadedRun run{.folder = folder,
                .weights = {},
                .status = status,
                .settings = settings,
                .experiment = make_experiment(settings, folder)};
  if (run.experiment.data.digest != status.data_digest)
    fail(ExitCode::input, "{}: is no longer the data set that {} was trained on", status.data,
         folder.string());
  shorten_for_smoke(run.experiment, settings);
  run.weights = weights_of(folder, which);
  nn::load_model(run.weights, run.experiment.model);
  return run;
}

namespace {}  // namespace

std::vector<std::string> read_ids(const fs::path& path) {
  std::vector<std::string> ids;
  std::error_code error;
  if (!fs::exists(path, error)) return ids;
  const std::string text = read_file(path, uint64_t{1} << 32);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) ids.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return ids;
}

void write_ids(const fs::path& path, const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += id + "\n";
  write_atomic(path, text);
}

}  // namespace expunge::tools
