#include "tools/svg.h"

#include <fmt/core.h>

#include <algorithm>

namespace expunge::tools {
namespace {

constexpr double kLeft = 56, kRight = 14, kTop = 34, kBottom = 44;

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text)
    out += c == '&'   ? "&amp;"
           : c == '<' ? "&lt;"
           : c == '>' ? "&gt;"
           : c == '"' ? "&quot;"
                      : std::string(1, c);
  return out;
}

std::string text_at(double x, double y, const char* anchor, const std::string& text,
                    const char* extra = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                     anchor, extra, escaped(text));
}

}  // namespace

Plot::Plot(std::string title, Axis x, Axis y)
    : title_(std::move(title)), x_(std::move(x)), y_(std::move(y)) {}

double Plot::px(double x) const {
  const double share = (std::clamp(x, x_.low, x_.high) - x_.low) / (x_.high - x_.low);
  return kLeft + share * (kWidth - kLeft - kRight);
}

double Plot::py(double y) const {
  const double share = (std::clamp(y, y_.low, y_.high) - y_.low) / (y_.high - y_.low);
  return kHeight - kBottom - share * (kHeight - kTop - kBottom);
}

std::string Plot::path(const Points& points) const {
  std::string d;
  for (const auto& [x, y] : points)
    d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : "L", px(x), py(y));
  return d;
}

Plot& Plot::band(const Points& low, const Points& high, const char* colour) {
  Points outline = low;
  outline.insert(outline.end(), high.rbegin(), high.rend());
  body_ +=
      fmt::format("<path d=\"{}Z\" fill=\"{}\" fill-opacity=\"0.18\"/>\n", path(outline), colour);
  return *this;
}

Plot& Plot::bars(std::span<const Bar> bars, double base, const char* colour) {
  for (const Bar& b : bars) {
    const double top = py(std::max(base, b.height)), bottom = py(std::min(base, b.height));
    body_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\" "
        "fill-opacity=\"0.8\"/>\n",
        px(b.low) + 0.5, top, std::max(0.5, px(b.high) - px(b.low) - 1), bottom - top, colour);
  }
  return *this;
}

Plot& Plot::line(const Points& points, const char* colour, bool dashed) {
  body_ += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"{}/>\n",
                       path(points), colour, dashed ? " stroke-dasharray=\"5 4\"" : "");
  return *this;
}

Plot& Plot::dots(const Points& points, const char* colour) {
  for (const auto& [x, y] : points)
    body_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.8\" fill=\"{}\"/>\n", px(x),
                         py(y), colour);
  return *this;
}

Plot& Plot::note(const std::string& text, const char* colour) {
  const std::string fill = fmt::format(" style=\"fill:{}\"", colour);
  body_ += text_at(kLeft + 8, kTop + 15 + 14 * notes_++, "start", text, fill.c_str());
  return *this;
}

std::string Plot::svg(double left, double top) const {
  std::string out = fmt::format("<g transform=\"translate({:.0f} {:.0f})\">\n", left, top);
  out += text_at(kLeft, kTop - 12, "start", title_, " class=\"t\"");
  for (int i = 0; i <= x_.ticks; ++i) {
    const double x = x_.low + (x_.high - x_.low) * i / x_.ticks;
    out += text_at(px(x), kHeight - kBottom + 16, "middle", fmt::format("{:.3g}", x));
  }
  for (int i = 0; i <= y_.ticks; ++i) {
    const double y = y_.low + (y_.high - y_.low) * i / y_.ticks;
    out +=
        fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#E4E4E4\" stroke-width=\"1\"/>\n",
                    px(x_.low), py(y), px(x_.high));
    out += text_at(kLeft - 7, py(y) + 4, "end", fmt::format("{:.3g}", y));
  }
  out += body_;
  out += fmt::format("<path d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\" fill=\"none\" stroke=\"#444\"/>\n",
                     px(x_.low), py(y_.high), py(y_.low), px(x_.high));
  out += text_at((kLeft + kWidth - kRight) / 2, kHeight - 10, "middle", x_.label);
  const double middle = (kTop + kHeight - kBottom) / 2;
  const std::string turned = fmt::format(" transform=\"rotate(-90 14 {:.1f})\"", middle);
  return out + text_at(14, middle, "middle", y_.label, turned.c_str()) + "</g>\n";
}

std::string svg_figure(const std::string& title, std::span<const Plot> plots, int columns) {
  constexpr double kHead = 34;
  const int count = static_cast<int>(plots.size()), rows = (count + columns - 1) / columns;
  const double width = Plot::kWidth * std::min(columns, count) + 10,
               height = kHead + Plot::kHeight * rows + 6;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\">\n<title>{2}</title>\n"
      "<style>text{{font:11px system-ui,sans-serif;fill:#333}}"
      "text.t{{font-weight:600}}text.h{{font-size:15px;font-weight:600}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      width, height, escaped(title));
  out += text_at(16, 24, "start", title, " class=\"h\"");
  for (int i = 0; i < count; ++i)
    out += plots[static_cast<size_t>(i)].svg(Plot::kWidth * (i % columns),
                                             kHead + Plot::kHeight * (i / columns));
  return out + "</svg>\n";
}

}  // namespace expunge::tools
