#include "tools/toml_ascii.h"

#include <fmt/core.h>

#include <cstdint>

namespace expunge::tools {
namespace {

bool beyond_ascii(char c) {
  return static_cast<unsigned char>(c) >= 0x80;
}

// The code point at the front of a UTF-8 text and its bytes; 0 bytes where it is none (RFC 3629).
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;
};
CodePoint code_point(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t bytes = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (bytes == 0 || text.size() < bytes) return {};
  uint32_t value = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if (next >> 6 != 2) return {};
    value = value << 6 | (next & 0x3F);
  }
  const bool overlong = value < (bytes == 3 ? 0x800u : bytes == 4 ? 0x10000u : 0x80u);
  const bool surrogate = value >= 0xD800 && value < 0xE000;
  return overlong || surrogate || value > 0x10FFFF ? CodePoint{} : CodePoint{value, bytes};
}

class Translator {
 public:
  explicit Translator(std::string_view text) : text_(text) {}

  AsciiToml run() {
    while (at_ < text_.size() && !out_.fault) {
      const char c = text_[at_];
      if (c == '#')
        comment();
      else if (c == '"' || c == '\'')
        string(c);
      else if (beyond_ascii(c))
        refuse("a character that TOML has in strings and comments only");
      else
        copy();
    }
    return std::move(out_);
  }

 private:
  bool at_line_end() const { return at_ >= text_.size() || text_[at_] == '\n'; }
  void refuse(const char* what) {
    if (!out_.fault) out_.fault = {line_, at_ - begin_ + 1, what};
  }
  void copy() {
    // toml++ calls itself for every part of a.b.c
    if (text_[at_] == '.' && ++dots_ > kMaxDots) return refuse("too many dots for a configuration");
    out_.text.push_back(text_[at_]);
    if (text_[at_] == '\n') ++line_, begin_ = at_ + 1;
    ++at_;
  }
  void comment() {
    for (; !at_line_end(); ++at_) out_.text.push_back(beyond_ascii(text_[at_]) ? '?' : text_[at_]);
  }
  // To the closing quote, or to the end of the line, where toml++ finds the fault itself. A literal
  // string ('...') becomes a basic one, which has escapes.
  void string(char quote) {
    if (text_.substr(at_).starts_with(quote == '"' ? "\"\"\"" : "'''"))
      return refuse("a text over several lines, expected one line");
    out_.text.push_back('"');
    for (++at_; !at_line_end() && !out_.fault;) {
      if (text_[at_] == quote) return ++at_, out_.text.push_back('"');
      if (beyond_ascii(text_[at_]))
        escape();
      else if (quote == '\'' && (text_[at_] == '\\' || text_[at_] == '"'))
        out_.text += {'\\', text_[at_++]};
      else if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n')
        escaped();
      else
        copy();
    }
  }
  void escape() {
    const CodePoint c = code_point(text_.substr(at_));
    if (c.bytes == 0) return refuse("is not UTF-8");
    out_.text += fmt::format("\\U{:08X}", c.value);
    at_ += c.bytes;
  }
  void escaped() {
    copy();
    if (beyond_ascii(text_[at_])) return refuse("an unknown escape");
    copy();
  }

  static constexpr int kMaxDots = 1000;
  std::string_view text_;
  size_t at_ = 0, line_ = 1, begin_ = 0;  // begin_: of the line
  int dots_ = 0;
  AsciiToml out_;
};

}  // namespace

AsciiToml ascii_toml(std::string_view text) {
  const std::string_view mark = "\xEF\xBB\xBF";  // that some editors put in front of UTF-8
  return Translator(text.starts_with(mark) ? text.substr(mark.size()) : text).run();
}

}  // namespace expunge::tools
