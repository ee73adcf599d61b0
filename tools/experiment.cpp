#include "tools/experiment.h"

#include <algorithm>

#include "core/file.h"
#include "core/parallel.h"
#include "tools/config_file.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

nn::OptimConfig optimizer_config(const Settings& s) {
  nn::OptimConfig config;
  const std::string& name = s.text("optimizer");
  config.kind = name == "sgd"    ? nn::OptimKind::sgd
                : name == "adam" ? nn::OptimKind::adam
                                 : nn::OptimKind::adamw;
  config.momentum = static_cast<float>(s.real("momentum"));
  config.nesterov = s.flag("nesterov");
  config.weight_decay = static_cast<float>(s.real("weight-decay"));
  config.decay_norm_bias = s.flag("decay-norm-bias");
  config.clip_norm = static_cast<float>(s.real("clip-norm"));
  return config;
}

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

// --smoke: so few samples that every stage has this many batches, once.
void shorten(Experiment& e, int64_t batches) {
  const auto samples = static_cast<size_t>(batches * e.loader.batch_size);
  for (std::vector<int32_t>* part : {&e.train, &e.split.val, &e.split.test, &e.forgotten})
    part->resize(std::min(part->size(), samples));
  e.fit.epochs = 1;
}

}  // namespace

Experiment make_experiment(const Settings& s, const fs::path& run) {
  if (s.text("model") == "linear")
    fail(ExitCode::usage,
         "model linear is a regression and needs targets; data sets of images have classes only");
  Experiment e;
  e.optim = optimizer_config(s);
  e.fit = fit_config(s);
  e.loss.label_smoothing = static_cast<float>(s.real("label-smoothing"));
  e.loader = loader_config(s);
  e.data = data::open_dataset(s.text("data"));
  e.split = data::make_split(e.data, {.val_fraction = s.real("val-fraction"),
                                      .split_seed = static_cast<uint64_t>(s.integer("split-seed")),
                                      .limit = s.integer("limit")});
  if (!s.text("forget").empty()) {
    const fs::path kept = run / "forget.ids";
    const std::string spec =
        !run.empty() && fs::exists(kept) ? "file:" + kept.string() : s.text("forget");
    e.forgotten =
        data::resolve_forget(spec, e.data, e.split, static_cast<uint64_t>(s.integer("forget-seed")))
            .positions;
  }
  e.train = data::without(e.split.train, e.forgotten);
  if (e.train.empty()) fail(ExitCode::input, "{}: no training samples are left", s.text("data"));
  if (s.integer("smoke") > 0) shorten(e, s.integer("smoke"));
  e.loader.positions = e.train;
  e.model =
      nn::make_model(s.text("model"), {.height = e.data.height,
                                       .width = e.data.width,
                                       .channels = e.data.channels,
                                       .classes = static_cast<int64_t>(e.data.classes.size())});
  nn::initialise(e.model.params,
                 s.text("init") == "pytorch" ? nn::Init::pytorch : nn::Init::kaiming, e.fit.seed);
  return e;
}

Settings run_settings(const fs::path& run) {
  Settings settings("train");
  std::error_code error;
  if (!fs::is_regular_file(run / "config.toml", error))
    fail(ExitCode::input, "{}: holds no config.toml, so it is not a run", run.string());
  read_config(run / "config.toml", Source::inherited, settings);
  return settings;
}

void apply_machine_options(const Settings& s) {
  const std::string& device = s.text("device");
  if (device.starts_with("cuda"))
    fail(ExitCode::device, "--device {}: this build has no CUDA backend", device);
  if (device != "auto" && device != "cpu")
    fail(ExitCode::usage, "--device is '{}', expected auto, cpu or cuda[:n]", device);
  if (s.text("precision") != "fp32")
    fail(ExitCode::device, "--precision {}: the CPU backend computes in fp32", s.text("precision"));
  set_thread_count(static_cast<int>(s.integer("threads")));
}

void write_ids(const fs::path& path, const data::Dataset& set,
               const std::vector<int32_t>& positions) {
  std::string text;
  for (int32_t p : positions) text += set.ids[static_cast<size_t>(p)].hex() + "\n";
  write_atomic(path, text);
}

}  // namespace expunge::tools
