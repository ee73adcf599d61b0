#include "tools/repeated.h"

#include <doctest/doctest.h>

#include "support/error.h"
#include "tools/command_line.h"
#include "tools/unlearning.h"
#include "unlearn/methods.h"

namespace expunge::tools {
namespace {

// What the command line with these flags comes to.
Settings typed(const std::string& verb, const std::vector<std::string>& flags) {
  std::vector<const char*> argv = {"expunge", verb.c_str()};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  Settings settings = parse_command_line(static_cast<int>(argv.size()), argv.data()).settings;
  if (verb == "unlearn") resolve_preset(settings);
  return settings;
}

// As a run's config.toml gives them back: all of them, from a source that counts as given.
Settings saved(const Settings& settings) {
  Settings result(settings.verb());
  for (const Option& o : settings.options())
    if (o.saved) result.set(o.name, settings.text(o.name), Source::inherited, "config.toml");
  return result;
}

void check_repeats(const std::vector<std::string>& flags) {
  const Settings once = saved(typed("unlearn", flags));
  const Settings again = typed("unlearn", unlearning_flags(once, "run"));
  const char* name = difference(once, again);
  CAPTURE(flags.front());
  CHECK(std::string(name != nullptr ? name : "") == "");
}

}  // namespace

TEST_CASE("repeated: every method with every preset that it goes with") {
  int repeated = 0;
  for (const unlearn::Method& method : unlearn::methods()) {
    check_repeats({std::string("--method=") + method.name});
    for (const unlearn::Preset& preset : unlearn::presets()) {
      const std::vector<std::string> flags = {std::string("--method=") + method.name,
                                              std::string("--preset=") + preset.name};
      if (test::error_code([&] { typed("unlearn", flags); }) != ExitCode::done) continue;
      check_repeats(flags);
      ++repeated;
    }
  }
  CHECK(repeated > 50);
}

TEST_CASE("repeated: options beside the preset's") {
  check_repeats({"--method=ngplus", "--gate=focus", "--estimator=ema:0.9", "--cdf=normal",
                 "--lr=3e-5", "--beta=0.5", "--batch-size=32", "--seed=7", "--epochs=3",
                 "--until-forget-acc=60", "--checkpoint=last", "--checkpoint-every=30s"});
  check_repeats({"--method=scrub", "--alpha=0.25", "--gamma=0.5", "--temperature=2", "--rewind",
                 "--forget-epochs=2", "--forget-batch-size=8"});
  check_repeats({"--method=badteacher", "--compat=badt"});
  check_repeats({"--method=ft-l1", "--no-l1-epochs=2", "--unlearn-augment=none"});
  check_repeats({"--method=ssd:2", "--batch-size=16", "--max-steps=0"});
  check_repeats({"--method=influence:1,iterations=2", "--seed=3"});
}

TEST_CASE("repeated: training takes every option by flag, whatever the environment says") {
  const std::vector<std::string> flags = {
      "--model=mlp", "--lr=0.03",      "--nesterov",          "--no-decay-norm-bias",
      "--seed=9",    "--augment=none", "--schedule=constant", "--forget=random:3"};
  const Settings once = saved(typed("train", flags));
  setenv("EXPUNGE_LR", "5", 1);
  const Settings again = typed("train", training_flags(once));
  unsetenv("EXPUNGE_LR");
  CHECK(difference(once, again) == nullptr);
  CHECK(again.text("forget").empty());
  CHECK(std::string(difference(once, typed("train", {"--lr=0.03"}))) == "augment");
}

}  // namespace expunge::tools
