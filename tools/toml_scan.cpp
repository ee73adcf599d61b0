#include "tools/toml_scan.h"

namespace expunge::tools {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<TomlFault> run() {
    while (at_ < text_.size() && !fault_) {
      const char c = text_[at_];
      if (c == '#')
        skip_comment();
      else if (c == '"' || c == '\'')
        skip_string(c);
      else if (static_cast<unsigned char>(c) >= 0x80)
        refuse("a character that TOML has in strings and comments only");
      else
        step();
    }
    return fault_;
  }

 private:
  void step() {
    if (text_[at_] == '\n') ++line_, begin_ = at_ + 1;
    ++at_;
  }
  void refuse(const char* what) { fault_ = {line_, at_ - begin_ + 1, what}; }
  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }
  // To the closing quote, or to the end of the line, where toml++ sees the fault itself.
  void skip_string(char quote) {
    if (text_.substr(at_).starts_with(quote == '"' ? "\"\"\"" : "'''"))
      return refuse("a text over several lines, expected one line");
    for (++at_; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
      if (text_[at_] == quote) return ++at_, void();
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) {
        if (static_cast<unsigned char>(text_[at_ + 1]) >= 0x80) return refuse("an unknown escape");
        if (text_[at_ + 1] != '\n') ++at_;
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0, line_ = 1, begin_ = 0;  // begin_: of the line
  std::optional<TomlFault> fault_;
};

}  // namespace

std::optional<TomlFault> scan_toml(std::string_view text) {
  // the mark of UTF-8 that some editors put in front
  const std::string_view mark = "\xEF\xBB\xBF";
  return Scanner(text.starts_with(mark) ? text.substr(mark.size()) : text).run();
}

}  // namespace expunge::tools
