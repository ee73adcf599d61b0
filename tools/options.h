#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Every option of every verb, in one table. From it come the flags, the environment variables
// EXPUNGE_<NAME>, the keys of a TOML file, the help and the configuration saved with a run.
namespace expunge::tools {

enum class Kind : unsigned char { text, integer, real, flag, choice, list };

struct Option {
  const char* name;  // "batch-size": --batch-size, EXPUNGE_BATCH_SIZE, batch-size = 128
  Kind kind;
  const char* fallback;  // default, as text; "" for none, or one that depends on other options
  const char* range;     // integer, real: "min..max"; choice: "a|b|c"; otherwise ""
  const char* help;
  const char* verbs;  // "train eval": where it exists
  bool saved = true;  // part of a run's configuration
};
std::span<const Option> all_options();
std::vector<Option> options_of(std::string_view verb);

// Where a value came from, weakest first.
enum class Source : unsigned char { fallback, inherited, file, environment, flag };

// The resolved options of one call.
class Settings {
 public:
  explicit Settings(std::string verb);

  // Takes a value unless a stronger source gave one. Unknown name, wrong type or out of range:
  // ExitCode::usage; `where` says where it stands ("line 3 of run.toml", "--lr").
  void set(const std::string& name, const std::string& value, Source source,
           const std::string& where);
  void set_from_environment();

  const std::string& text(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;  // what commas separate
  int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;
  bool flag(const std::string& name) const;
  bool given(const std::string& name) const { return source(name) != Source::fallback; }
  Source source(const std::string& name) const;

  const std::string& verb() const { return verb_; }
  std::string typed_verb() const;  // "data prepare" for data-prepare
  const std::vector<Option>& options() const { return options_; }
  std::string to_toml() const;  // the saved ones, one line each, with comments

  std::vector<std::string> arguments;  // what was not a flag

 private:
  struct Value {
    std::string text;
    Source source = Source::fallback;
  };
  const Option& option(const std::string& name, const std::string& where) const;
  std::string verb_;
  std::vector<Option> options_;
  std::map<std::string, Value> values_;
};

}  // namespace expunge::tools
