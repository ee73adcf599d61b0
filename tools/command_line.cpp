#include "tools/command_line.h"

#include <CLI/CLI.hpp>
#include <deque>

#include "core/check.h"
#include "core/nearest.h"
#include "tools/config_file.h"
#include "tools/version.h"

namespace expunge::tools {
namespace {

struct Verb {
  const char *path, *help, *argument, *argument_help;
};
constexpr Verb kVerbs[] = {
    {"train", "train a network, or retrain it without a forget set", nullptr, nullptr},
    {"unlearn", "take the influence of chosen samples out of a run's network", nullptr, nullptr},
    {"eval", "accuracy, loss, confusion and membership attacks of a run", "run", "run folder"},
    {"compare", "runs in one table, against retrained ones", "run...",
     "folders of retrained, original and unlearned runs, in any order"},
    {"predict", "classes and probabilities of images", "model image...",
     "run or model file, then JPEG or PNG files"},
    {"convert", "weights to and from PyTorch's names, as safetensors", "from to",
     "a run or a file, and the file (.safetensors) or run to write"},
    {"inspect", "what is in a file", "file", "run, model file, packed data set or image"},
    {"data prepare", "images, CIFAR or SVHN to one packed file", "source", "folder or .mat file"},
    {"data corrupt", "mislabel or poison training samples, and record which", "file",
     "packed file, or builtin"},
    {"data verify", "check every hash, label and id of a packed file", "file", "packed file"},
    {"data info", "sizes, digest and per-class counts", "file", "packed file, or builtin"},
    {"list", "what there is to choose from", "what",
     "models | methods | presets | gates | estimators | objectives | metrics | attacks | datasets "
     "| "
     "optimizers | schedules | inits"},
    {"bench kernels", "time every kernel on the shapes of networks, and check it", nullptr,
     nullptr},
    {"bench train", "time training steps on synthetic images", nullptr, nullptr},
    {"bench infer", "time forward passes in evaluation mode", nullptr, nullptr},
    {"bench step", "time whole steps of unlearning on synthetic images", nullptr, nullptr},
    {"bench unlearn", "time the update of unlearning: statistics, gate, Adam", nullptr, nullptr},
    {"sweep", "a grid of unlearning runs and seeds, from a recipe; goes on where it stopped",
     "recipe", "TOML file (docs/sweeps.md), or a name of expunge recipe list"},
    {"recipe list", "experiments that check themselves", nullptr, nullptr},
    {"recipe check", "run one; exit code 8 where its numbers are not as expected", "recipe",
     "name (expunge recipe list)"},
    {"doctor", "the machine, and what is on or off and why", nullptr, nullptr},
    {"version", "version and build", nullptr, nullptr},
};

// "data prepare" is the verb data-prepare of the option table.
std::string verb_name(const std::string& path) {
  std::string name = path;
  std::ranges::replace(name, ' ', '-');
  return name;
}

const char* group_help(const std::string& path) {
  return path.starts_with("data")     ? "packed data sets"
         : path.starts_with("recipe") ? "experiments that check themselves"
                                      : "speed";
}

constexpr std::size_t kNameColumns = 34, kHelpColumns = 100;

// Lines of at most `width` characters, broken at spaces; a longer word stays whole.
std::string wrap(const std::string& text, std::size_t width) {
  std::string lines;
  std::size_t used = 0;
  std::istringstream words(text);
  for (std::string word; words >> word; used += word.size()) {
    if (used > 0 && used + 1 + word.size() > width)
      lines += '\n', used = 0;
    else if (used > 0)
      lines += ' ', ++used;
    lines += word;
  }
  return lines;
}

// Help with "expunge data prepare [options] folder", "--[no-]nesterov", and no line too long.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kNameColumns); }
  std::string make_option_desc(const CLI::Option* o) const override {
    return wrap(Formatter::make_option_desc(o), kHelpColumns - kNameColumns);
  }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string text = "\nUsage: " + name + " [options]";
    for (const CLI::Option* o : app->get_options())
      if (o->get_positional()) text += " " + o->get_option_text();
    return text + (app->get_subcommands({}).empty() ? "\n" : " verb\n");
  }
  std::string make_option_opts(const CLI::Option* o) const override {
    return o->get_positional() ? "" : Formatter::make_option_opts(o);
  }
  std::string make_option_name(const CLI::Option* o, bool positional) const override {
    if (positional) return o->get_option_text();
    const bool is_switch = !positional && o->get_lnames().size() == 2;
    return is_switch ? "--[no-]" + o->get_lnames().front()
                     : Formatter::make_option_name(o, positional);
  }
};

const char* placeholder(const Option& o) {
  return o.kind == Kind::choice    ? o.range
         : o.kind == Kind::integer ? "N"
         : o.kind == Kind::real    ? "X"
                                   : "TEXT";
}

struct Typed {  // one option's place for what was typed
  std::string name;
  std::string value;
  CLI::Option* option = nullptr;
};

struct Subcommand {
  std::string path;
  CLI::App* app = nullptr;
  std::deque<Typed> typed;  // a deque: CLI11 keeps pointers into it
  std::vector<std::string> arguments;
};

void add_options(Subcommand& sub, const Verb& verb) {
  for (const Option& o : options_of(verb_name(verb.path))) {
    Typed& typed = sub.typed.emplace_back();
    typed.name = o.name;
    std::string help = o.help;
    if (*o.fallback != '\0') help += fmt::format(" [{}]", o.fallback);
    const std::string flag = fmt::format("--{}", o.name);
    if (o.kind == Kind::flag)
      typed.option =
          sub.app->add_flag(o.saved ? flag + ",!--no-" + o.name : flag, typed.value, help)
              ->option_text(" ");
    else
      typed.option = sub.app->add_option(flag, typed.value, help)->type_name(placeholder(o));
    if (o.kind == Kind::list)
      typed.option->multi_option_policy(CLI::MultiOptionPolicy::Join)->delimiter(',');
    else
      typed.option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  if (verb.argument != nullptr)
    sub.app->add_option("arguments", sub.arguments, verb.argument_help)->option_text(verb.argument);
}

std::string usage_hint(const CLI::App& app, const CLI::ParseError& error, const Subcommand* sub) {
  const std::vector<std::string> extras = app.remaining(true);
  if (extras.empty() && sub != nullptr) return error.what();
  if (extras.empty()) {
    const CLI::App* group = app.get_subcommands().empty() ? &app : app.get_subcommands().back();
    std::string verbs;
    for (const CLI::App* verb : group->get_subcommands({}))
      verbs += (verbs.empty() ? "" : ", ") + verb->get_name();
    return fmt::format("after '{}' a verb is missing, one of {}", group->get_name(), verbs);
  }
  std::vector<std::string> known;
  if (sub != nullptr)
    for (const Typed& t : sub->typed) known.push_back("--" + t.name);
  else
    for (const Verb& v : kVerbs)
      known.push_back(std::string(v.path).substr(0, std::string(v.path).find(' ')));
  const std::string typed = extras.front().substr(0, extras.front().find('='));
  return fmt::format("'{}' is not known{}", typed, nearest_hint(typed, known));
}

Settings resolve(const Subcommand& sub) {
  Settings settings(verb_name(sub.path));
  settings.arguments = sub.arguments;
  for (const Typed& t : sub.typed)
    if (t.option->count() > 0) settings.set(t.name, t.value, Source::flag, "--" + t.name);
  settings.set_from_environment();
  for (const Option& o : settings.options())
    if (std::string_view(o.name) == "config" && !settings.text("config").empty())
      read_config(settings.text("config"), Source::file, settings);
  return settings;
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CLI::App app(
      "expunge: train image classifiers, remove the influence of chosen samples, measure how well "
      "it worked",
      "expunge");
  app.formatter(std::make_shared<HelpFormatter>());  // before the verbs, which inherit it
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text());
  std::deque<Subcommand> subs;
  std::map<std::string, CLI::App*> groups;
  for (const Verb& verb : kVerbs) {
    const std::string path = verb.path;
    const size_t space = path.find(' ');
    CLI::App* parent = &app;
    if (space != std::string::npos) {
      CLI::App*& group = groups[path.substr(0, space)];
      if (group == nullptr) {
        group = app.add_subcommand(path.substr(0, space), group_help(path));
        group->require_subcommand(1)->group("Verbs");
      }
      parent = group;
    }
    Subcommand& sub = subs.emplace_back();
    sub.path = path;
    sub.app =
        parent
            ->add_subcommand(space == std::string::npos ? path : path.substr(space + 1), verb.help)
            ->group("Verbs");
    add_options(sub, verb);
  }
  const auto chosen = [&]() -> const Subcommand* {
    for (const Subcommand& sub : subs)
      if (sub.app->parsed()) return &sub;
    return nullptr;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return {Settings(""), app.help()};  // of the verb that was typed, if any
  } catch (const CLI::CallForVersion&) {
    return {Settings(""), version_text() + "\n"};
  } catch (const CLI::ParseError& error) {
    fail(ExitCode::usage, "{} (see expunge{} --help)", usage_hint(app, error, chosen()),
         chosen() != nullptr ? " " + chosen()->path : "");
  }
  return {resolve(*chosen()), ""};
}

}  // namespace expunge::tools
