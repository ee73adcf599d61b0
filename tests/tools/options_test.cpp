#include "tools/options.h"

#include <doctest/doctest.h>

#include <set>

#include "support/error.h"
#include "support/temp_dir.h"
#include "tools/command_line.h"
#include "tools/config_file.h"

namespace expunge::tools {
namespace {

using test::contains;

TEST_CASE("options: every row has a help and a default that is valid") {
  for (const Option& o : all_options()) {
    CAPTURE(o.name);
    CHECK(std::string_view(o.help).size() > 3);
    const std::string verbs = o.verbs;
    Settings settings(verbs.substr(0, verbs.find(' ')));
    if (*o.fallback != '\0')
      CHECK(test::error_text([&] { settings.set(o.name, o.fallback, Source::flag, "here"); }) ==
            "no error");
  }
}

TEST_CASE("options: no verb has two of one name") {
  for (const char* verb :
       {"train", "eval", "bench-kernels", "bench-train", "bench-unlearn", "data-prepare", "list"}) {
    std::set<std::string> names;
    for (const Option& o : options_of(verb)) CHECK(names.insert(o.name).second);
    CHECK(!names.empty());
  }
}

TEST_CASE("options: the stronger source wins in any order") {
  constexpr Source kWeakestFirst[] = {Source::inherited, Source::file, Source::environment,
                                      Source::flag};
  for (bool forward : {true, false}) {
    Settings settings("train");
    CHECK(settings.integer("epochs") == 10);
    CHECK(!settings.given("epochs"));
    for (int i = 0; i < 4; ++i) {
      const int k = forward ? i : 3 - i;
      settings.set("epochs", std::to_string(k + 1), kWeakestFirst[k], "here");
    }
    CHECK(settings.integer("epochs") == 4);
    CHECK(settings.source("epochs") == Source::flag);
  }
}

TEST_CASE("options: values out of type or range are refused by name") {
  struct Row {
    const char *name, *value, *words;
  };
  for (const Row& row :
       {Row{"epochs", "1.5", "integer"}, Row{"epochs", "", "integer"},
        Row{"epochs", " 3", "integer"}, Row{"epochs", "0", "1.."}, Row{"lr", "-1", "number"},
        Row{"lr", "nan", "number"}, Row{"lr", "inf", "number"}, Row{"lr", "1e999", "number"},
        Row{"momentum", "1.1", "0..1"}, Row{"nesterov", "yes", "true or false"},
        Row{"optimizer", "sg", "sgd"}, Row{"optimizer", "sgd|adam", "sgd"},
        Row{"optimizer", "", "sgd"}, Row{"epoch", "3", "did you mean 'epochs'"}}) {
    CAPTURE(row.name);
    CAPTURE(row.value);
    Settings settings("train");
    const auto set = [&] { settings.set(row.name, row.value, Source::flag, "line 7"); };
    CHECK(test::error_code(set) == ExitCode::usage);
    CHECK(contains(test::error_text(set), "line 7"));
    CHECK(contains(test::error_text(set), row.words));
    CHECK(settings.integer("epochs") == 10);
  }
}

TEST_CASE("options: what is saved as TOML reads back, whatever the text") {
  const test::TempDir dir;
  Settings settings("train");
  settings.set("data", "a \"b\"\\c\td\nü", Source::flag, "--data");
  settings.set("lr", "0.1", Source::flag, "--lr");
  settings.set("weight-decay", "1e-4", Source::flag, "--weight-decay");
  settings.set("nesterov", "true", Source::flag, "--nesterov");
  settings.set("seed", "9223372036854775807", Source::flag, "--seed");
  test::put_file(dir / "c.toml", settings.to_toml());
  Settings again("train");
  read_config(dir / "c.toml", Source::file, again);
  CHECK(again.to_toml() == settings.to_toml());
  CHECK(again.text("data") == settings.text("data"));
  CHECK(again.real("weight-decay") == 1e-4);
}

TEST_CASE("command line: any cut of a TOML file is read or refused with words") {
  const test::TempDir dir;
  const std::string text = Settings("train").to_toml();
  for (size_t n = 0; n < text.size(); n += 3) {
    test::put_file(dir / "c.toml", text.substr(0, n));
    Settings settings("train");
    const ExitCode code =
        test::error_code([&] { read_config(dir / "c.toml", Source::file, settings); });
    CHECK((code == ExitCode::done || code == ExitCode::usage));
  }
}

TEST_CASE("command line: flags, negated flags, arguments") {
  const char* typed[] = {"expunge", "train", "--lr=0.5", "--no-decay-norm-bias", "--epochs", "3"};
  const CommandLine line = parse_command_line(6, typed);
  CHECK(line.answer.empty());
  CHECK(line.settings.verb() == "train");
  CHECK(line.settings.real("lr") == 0.5);
  CHECK(!line.settings.flag("decay-norm-bias"));
  CHECK(line.settings.integer("epochs") == 3);
  const char* data[] = {"expunge", "data", "info", "builtin"};
  const CommandLine info = parse_command_line(4, data);
  CHECK(info.settings.verb() == "data-info");
  CHECK(info.settings.arguments == std::vector<std::string>{"builtin"});
}

}  // namespace
}  // namespace expunge::tools
