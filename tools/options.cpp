#include "tools/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/check.h"
#include "core/nearest.h"

namespace expunge::tools {
namespace {

constexpr const char* kOptimizers = "sgd|adam|adamw";

constexpr Option kOptions[] = {
    // data
    {"data", Kind::text, "builtin", "",
     "packed data set (made by `expunge data prepare`) or builtin", "train"},
    {"limit", Kind::integer, "0", "0..1000000000",
     "keep this many training samples, class-balanced (0: all)", "train convert"},
    {"val-fraction", Kind::real, "0.1", "0..0.9", "share of each class held out for validation",
     "train convert"},
    {"split-seed", Kind::integer, "0", "0..", "seed of the train/validation split",
     "train convert"},
    {"forget", Kind::text, "", "",
     "train WITHOUT these: random:0.1, class:3, class:0:450, file:ids.txt", "train"},
    {"forget-seed", Kind::integer, "0", "0..", "seed of random forget sets", "train unlearn"},
    {"augment", Kind::text, "crop,flip", "", "crop,flip | crop | flip | none", "train"},
    // unlearning
    {"from", Kind::text, "", "", "run to unlearn from: data, split and network come from it",
     "unlearn"},
    {"forget", Kind::text, "", "",
     "forget these: random:0.1, random:450, class:3, class:0:450, file:ids.txt", "unlearn"},
    {"method", Kind::text, "ngplus", "", "how (expunge list methods)", "unlearn"},
    {"preset", Kind::text, "", "", "settings of a source (expunge list presets; the method's own)",
     "unlearn"},
    {"gate", Kind::text, "", "", "what is updated (expunge list gates; the preset's)", "unlearn"},
    {"estimator", Kind::text, "paper", "", "how sure signs are (expunge list estimators)",
     "unlearn"},
    {"cdf", Kind::choice, "default", "default|student|normal",
     "distribution of the estimator's signals", "unlearn"},
    {"gate-on", Kind::choice, "preset", "preset|gradient|update",
     "what the gate multiplies: the gradient, or the optimizer's step", "unlearn"},
    {"warmup-gate", Kind::choice, "none", "none|hold",
     "before the estimator knows anything: update all, or nothing", "unlearn"},
    {"bn", Kind::choice, "train", "train|frozen|eval",
     "batch norm: batch statistics; the same, running ones kept; running ones", "unlearn"},
    {"beta", Kind::real, "", "0..1", "weight of the retain gradient (by preset)", "unlearn"},
    {"unlearn-augment", Kind::choice, "all", "all|none|first-epoch",
     "when images are augmented, in the way of the original run", "unlearn"},
    {"until-forget-acc", Kind::text, "", "",
     "stop once the accuracy on the forget set is at most this (percent), or that of the reference",
     "unlearn"},
    {"audit", Kind::integer, "0", "0..1000",
     "test every step on this many other batches of each side (0: no audit)", "unlearn"},
    {"audit-every", Kind::integer, "1", "1..", "steps between audits", "unlearn"},
    {"reference", Kind::list, "", "", "retrained run to measure against; may be repeated",
     "unlearn"},
    {"epochs", Kind::integer, "", "1..100000", "passes over the forget set (by preset)", "unlearn"},
    {"batch-size", Kind::integer, "", "1..65536", "samples of each side (by preset)", "unlearn"},
    {"optimizer", Kind::choice, "", kOptimizers, "update rule (by preset)", "unlearn"},
    {"lr", Kind::real, "", "0..1e30", "learning rate (by preset)", "unlearn"},
    {"momentum", Kind::real, "", "0..1", "momentum of sgd (by preset)", "unlearn"},
    {"weight-decay", Kind::real, "", "0..1e6", "L2 or decoupled decay (by preset)", "unlearn"},
    {"eval-every", Kind::text, "1", "", "epochs between evaluations, or steps: 10step", "unlearn"},
    {"data", Kind::text, "builtin", "", "inherited from the run", "unlearn"},
    {"limit", Kind::integer, "0", "0..1000000000", "inherited from the run", "unlearn"},
    {"val-fraction", Kind::real, "0.1", "0..0.9", "inherited from the run", "unlearn"},
    {"split-seed", Kind::integer, "0", "0..", "inherited from the run", "unlearn"},
    {"model", Kind::text, "smallcnn", "", "inherited from the run", "unlearn"},
    {"augment", Kind::text, "none", "", "inherited from the run", "unlearn"},
    // model
    {"model", Kind::text, "smallcnn", "", "network (expunge list models)", "train bench"},
    {"init", Kind::choice, "pytorch", "pytorch|kaiming", "initial values (expunge list inits)",
     "train"},
    // recipe
    {"epochs", Kind::integer, "10", "1..100000", "passes over the training samples", "train"},
    {"max-steps", Kind::integer, "0", "0..", "stop after this many steps (0: epochs decide)",
     "train unlearn"},
    {"smoke", Kind::integer, "0", "0..1000000", "only this many batches of every stage (0: all)",
     "train unlearn"},
    {"batch-size", Kind::integer, "128", "1..65536", "samples of a step",
     "train eval predict bench"},
    {"optimizer", Kind::choice, "sgd", kOptimizers, "update rule", "train"},
    {"lr", Kind::real, "0.1", "0..1e30", "peak learning rate", "train"},
    {"momentum", Kind::real, "0.9", "0..1", "momentum of sgd", "train"},
    {"nesterov", Kind::flag, "false", "", "Nesterov's form of momentum", "train"},
    {"weight-decay", Kind::real, "0.0005", "0..1e6", "L2 (sgd, adam) or decoupled (adamw)",
     "train"},
    {"decay-norm-bias", Kind::flag, "true", "", "decay batch norm's parameters and biases too",
     "train"},
    {"clip-norm", Kind::real, "0", "0..1e30", "largest gradient norm (0: no clipping)", "train"},
    {"label-smoothing", Kind::real, "0", "0..0.999", "share of each target spread over all classes",
     "train"},
    {"schedule", Kind::text, "cosine", "", "constant | step:91,136[,gamma=0.1] | cosine | onecycle",
     "train"},
    {"warmup", Kind::real, "0", "0..1e6", "epochs of linear warm-up", "train"},
    {"seed", Kind::integer, "0", "0..", "initialisation, order, augmentation, dropout",
     "train convert unlearn"},
    // run
    {"eval-every", Kind::integer, "1", "1..", "epochs between evaluations", "train"},
    {"checkpoint-every", Kind::text, "epoch", "", "epoch | N (steps) | Ns (seconds)",
     "train unlearn"},
    {"log-every", Kind::integer, "10", "1..", "steps between lines of metrics.jsonl",
     "train unlearn"},
    {"out", Kind::text, "", "", "run folder (default runs/<data>-<model>-<seed>)", "train", false},
    {"out", Kind::text, "", "", "run folder (default runs/<run>-<method>-<gate>-<seed>)", "unlearn",
     false},
    {"out", Kind::text, "", "", "packed file to write", "data-prepare", false},
    {"like", Kind::text, "", "", "inherit data, split, model and recipe of this run", "train",
     false},
    {"resume", Kind::text, "", "", "go on with this run; its configuration comes from it",
     "train unlearn", false},
    {"config", Kind::text, "", "", "TOML file with these options as keys", "train eval unlearn",
     false},
    {"print-config", Kind::flag, "false", "", "print the resolved options as TOML and stop",
     "train unlearn", false},
    {"dry-run", Kind::flag, "false", "", "resolve, count, predict memory and time; write nothing",
     "train unlearn", false},
    // eval
    {"part", Kind::choice, "all", "all|train|val|test|forget", "samples to evaluate", "eval",
     false},
    {"checkpoint", Kind::choice, "auto", "auto|best|last", "which weights: auto takes last",
     "eval predict convert", false},
    {"checkpoint", Kind::choice, "auto", "auto|best|last",
     "weights to start from: auto takes best where there is one", "unlearn"},
    {"attacks", Kind::list, "auto", "",
     "svc, loss, threshold, or none (auto: all, where samples were forgotten)", "eval compare",
     false},
    {"modified-entropy", Kind::choice, "correct", "correct|ufv|optml",
     "which version the svc attack sees (docs/evaluation.md)", "eval compare", false},
    {"reference", Kind::list, "", "", "retrained run to measure against; may be repeated",
     "eval compare", false},
    {"dump-npz", Kind::text, "", "",
     "write labels, logits, probabilities and losses of every part, for numpy", "eval", false},
    {"csv", Kind::text, "", "", "file for every metric of every run, a row a run", "compare",
     false},
    // predict, convert
    {"top", Kind::integer, "3", "1..65536", "classes to show of each image", "predict", false},
    {"model", Kind::text, "", "", "network, where the file does not tell (expunge list models)",
     "convert", false},
    {"data", Kind::text, "", "", "packed data set that the new run belongs to, or builtin",
     "convert", false},
    // bench
    {"model", Kind::text, "resnet18", "", "network (expunge list models)", "bench-unlearn", false},
    {"gate", Kind::list, "none,and,prob,focus,opt,focus-opt", "",
     "what is updated (expunge list gates); several by commas", "bench-unlearn", false},
    {"estimator", Kind::text, "paper", "", "how sure signs are (expunge list estimators)",
     "bench-unlearn", false},
    {"format", Kind::choice, "md", "md|csv|json", "how the table is printed", "bench-unlearn",
     false},
    {"steps", Kind::integer, "10", "1..1000000", "timed steps", "bench bench-unlearn", false},
    {"warmup-steps", Kind::integer, "3", "2..1000000", "steps before the timing",
     "bench bench-unlearn", false},
    // recipe check
    {"seed", Kind::integer, "1", "0..", "draws (by recipe)", "recipe-check", false},
    {"redraws", Kind::integer, "100000", "10000..1000000", "coordinate pairs (by recipe)",
     "recipe-check", false},
    {"batch-size", Kind::integer, "16", "2..4096", "samples of a gradient (by recipe)",
     "recipe-check", false},
    {"ema-steps", Kind::integer, "40", "2..10000", "batches that ema sees (by recipe)",
     "recipe-check", false},
    {"estimators", Kind::list, "", "", "names, by commas (by recipe)", "recipe-check", false},
    {"risk", Kind::real, "0.01", "1e-6..0.5", "that a bin leaves its band by chance (by recipe)",
     "recipe-check", false},
    {"pit-excess", Kind::real, "0", "0..1", "how far PIT may leave its bands (by recipe)",
     "recipe-check", false},
    {"pit-excess-ema", Kind::real, "0", "0..1", "the same for ema (by recipe)", "recipe-check",
     false},
    {"wide-excess", Kind::real, "0", "0..1", "how far phi may, wide law (by recipe)",
     "recipe-check", false},
    {"one-noise-excess", Kind::real, "0", "0..1", "how far phi may, one noise level (by recipe)",
     "recipe-check", false},
    {"narrow-low", Kind::real, "0", "0..1", "what phi .92 is worth at least (by recipe)",
     "recipe-check", false},
    {"narrow-high", Kind::real, "1", "0..1", "and at most, narrow law (by recipe)", "recipe-check",
     false},
    {"shrunk-error", Kind::real, "1", "0..1", "mean error of phi with shrink=on (by recipe)",
     "recipe-check", false},
    {"out", Kind::text, "", "", "folder for plots (SVG) and numbers (CSV)", "recipe-check", false},
    // data prepare
    {"name", Kind::text, "", "", "name of the data set (default: the source folder's)",
     "data-prepare", false},
    {"skip-bad", Kind::flag, "false", "", "leave unreadable images out instead of refusing",
     "data-prepare", false},
    {"resize", Kind::integer, "0", "0..16384",
     "make every image N x N: largest centred square, triangle filter (0: one size already)",
     "data-prepare", false},
    {"test-fraction", Kind::real, "0", "0..0.9",
     "share of each class to hold out where the source has no test part", "data-prepare", false},
    // the machine
    {"device", Kind::text, "auto", "", "auto | cpu | cuda[:n]",
     "train unlearn eval compare predict bench bench-unlearn recipe-check", false},
    {"threads", Kind::integer, "0", "0..1024", "CPU threads (0: as many as allowed)",
     "train unlearn eval compare predict bench bench-unlearn data-prepare recipe-check", false},
    {"precision", Kind::choice, "fp32", "fp32|tf32|bf16|fp16", "compute mode",
     "train unlearn eval compare predict bench bench-unlearn recipe-check", false},
    {"progress", Kind::choice, "auto", "auto|bar|lines|json|none", "what stderr shows meanwhile",
     "train unlearn", false},
    {"json", Kind::flag, "false", "", "one JSON document on stdout",
     "train unlearn eval compare predict inspect bench data-prepare data-info data-verify list "
     "doctor version recipe-list",
     false},
};

template <class T>
bool parse(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_choice(std::string_view choices, std::string_view value) {
  for (size_t begin = 0; begin <= choices.size();) {
    const size_t end = std::min(choices.find('|', begin), choices.size());
    if (choices.substr(begin, end - begin) == value) return true;
    begin = end + 1;
  }
  return false;
}

template <class T>
bool in_range(std::string_view range, T value) {
  const size_t dots = range.find("..");
  T low{}, high{};
  const bool above = !parse(range.substr(0, dots), low) || value >= low;
  return above && (!parse(range.substr(dots + 2), high) || value <= high);
}

// What is wrong with the value, or "".
std::string fault(const Option& o, const std::string& value) {
  int64_t integer = 0;
  double real = 0;
  switch (o.kind) {
    case Kind::text:
    case Kind::list:
      return "";
    case Kind::integer:
      return parse(value, integer) && in_range(o.range, integer)
                 ? ""
                 : fmt::format("an integer in {}", o.range);
    case Kind::real:
      return parse(value, real) && in_range(o.range, real) ? ""
                                                           : fmt::format("a number in {}", o.range);
    case Kind::flag:
      return is_choice("true|false", value) ? "" : "true or false";
    case Kind::choice:
      return is_choice(o.range, value) ? "" : fmt::format("one of {}", o.range);
  }
  return "";
}

std::string quoted(const std::string& text) {  // as a TOML basic string
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace

std::span<const Option> all_options() {
  return kOptions;
}

std::vector<Option> options_of(std::string_view verb) {
  std::vector<Option> mine;
  for (const Option& o : kOptions) {
    const std::string verbs = std::string(" ") + o.verbs + " ";
    if (verbs.find(" " + std::string(verb) + " ") != std::string::npos) mine.push_back(o);
  }
  return mine;
}

Settings::Settings(std::string verb) : verb_(std::move(verb)), options_(options_of(verb_)) {
  for (const Option& o : options_) values_[o.name] = {o.fallback, Source::fallback};
}

const Option& Settings::option(const std::string& name, const std::string& where) const {
  const auto it = std::ranges::find_if(options_, [&](const Option& o) { return name == o.name; });
  if (it != options_.end()) return *it;
  std::vector<std::string> names;
  for (const Option& o : options_) names.emplace_back(o.name);
  fail(ExitCode::usage, "{}: '{}' is not an option of {}{}", where, name, typed_verb(),
       nearest_hint(name, names));
}

void Settings::set(const std::string& name, const std::string& value, Source source,
                   const std::string& where) {
  const Option& o = option(name, where);
  const std::string expected = fault(o, value);
  if (!expected.empty())
    fail(ExitCode::usage, "{}: {} is '{}', expected {}", where, name, value, expected);
  Value& current = values_[name];
  if (source >= current.source) current = {value, source};
}

void Settings::set_from_environment() {
  for (const Option& o : options_) {
    std::string variable = "EXPUNGE_";
    for (const char* c = o.name; *c != '\0'; ++c)
      variable += *c == '-' ? '_' : static_cast<char>(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    if (const char* value = std::getenv(variable.c_str()))
      set(o.name, value, Source::environment, variable);
  }
}

std::string Settings::typed_verb() const {
  std::string typed = verb_;
  std::ranges::replace(typed, '-', ' ');
  return typed;
}

const std::string& Settings::text(const std::string& name) const {
  const auto it = values_.find(name);
  EXPUNGE_CHECK(it != values_.end(), "settings: {} has no option {}", verb_, name);
  return it->second.text;
}

std::vector<std::string> Settings::list(const std::string& name) const {
  const std::string& all = text(name);
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(',', begin), all.size());
    if (end > begin) parts.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

int64_t Settings::integer(const std::string& name) const {
  int64_t value = 0;
  parse(text(name), value);
  return value;
}

double Settings::real(const std::string& name) const {
  double value = 0;
  parse(text(name), value);
  return value;
}

bool Settings::flag(const std::string& name) const {
  return text(name) == "true";
}

Source Settings::source(const std::string& name) const {
  text(name);
  return values_.at(name).source;
}

std::string Settings::to_toml() const {
  std::string out = fmt::format("# expunge {}: every option, resolved\n", verb_);
  for (const Option& o : options_) {
    if (!o.saved) continue;
    const bool bare = o.kind == Kind::integer || o.kind == Kind::flag;
    const std::string value = o.kind == Kind::real ? fmt::format("{}", real(o.name))
                              : bare               ? text(o.name)
                                                   : quoted(text(o.name));
    out += fmt::format("{} = {}\n", o.name, value);
  }
  return out;
}

}  // namespace expunge::tools
