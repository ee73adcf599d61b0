#include "tools/toml_ascii.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

using expunge::tools::ascii_toml;

TEST_CASE(
    "TOML: characters beyond ASCII become escapes in strings and question marks in comments") {
  CHECK(ascii_toml("lr = 0.1 # naïve\n").text == "lr = 0.1 # na??ve\n");
  CHECK(ascii_toml("data = \"Zoë 東 😀\"\n").text ==
        "data = \"Zo\\U000000EB \\U00006771 \\U0001F600\"\n");
  CHECK(ascii_toml("data = 'a\\b\"ü'").text == "data = \"a\\\\b\\\"\\U000000FC\"");
  CHECK(ascii_toml("a = \"\\\"é\" # \"").text == "a = \"\\\"\\U000000E9\" # \"");
  CHECK(ascii_toml("\xEF\xBB\xBFlr = 1").text == "lr = 1");
  CHECK(ascii_toml("a = \"open\nb = 1\n").text == "a = \"open\nb = 1\n");
}

TEST_CASE("TOML: what has no place is refused with line and column") {
  const auto fault = [](std::string_view text) {
    const auto result = ascii_toml(text);
    REQUIRE(result.fault);
    return fmt::format("{}:{} {}", result.fault->line, result.fault->column, result.fault->what);
  };
  CHECK(fault("a = 1\nü = 2") == "2:1 a character that TOML has in strings and comments only");
  CHECK(fault("a = \"\\ü\"") == "1:7 an unknown escape");
  CHECK(fault("a = \"\"\"x\"\"\"").starts_with("1:5 a text over several lines"));
  CHECK(fault("a = '''x'''").starts_with("1:5 a text over several lines"));
  std::string deep = "a";
  for (int i = 0; i < 2000; ++i) deep += ".a";
  CHECK(fault(deep + " = 1").starts_with("1:2002 too many dots"));
  // overlong, a surrogate, beyond the last, cut short, a byte that begins nothing
  for (const char* bytes : {"\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"})
    CHECK(fault(std::string("a = \"") + bytes + "\"") == "1:6 is not UTF-8");
}
