#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

// Plots as SVG text, for browsers and pages: no program, font or script is needed beside them.
namespace expunge::tools {

struct Axis {
  std::string label;
  double low = 0, high = 1;
  int ticks = 5;  // intervals between them
};

// Colours that readers with any colour vision tell apart (Okabe & Ito 2008).
inline constexpr const char *kBlue = "#0072B2", *kOrange = "#D55E00", *kGreen = "#009E73",
                            *kGrey = "#8C8C8C";

// One pair of axes; what is added first lies at the bottom. Points are (x, y) in the axes' units;
// what leaves the axes is moved to their edge.
class Plot {
 public:
  using Points = std::vector<std::pair<double, double>>;

  Plot(std::string title, Axis x, Axis y);

  // Between two lines over the same x.
  Plot& band(const Points& low, const Points& high, const char* colour);
  struct Bar {
    double low, high, height;
  };
  Plot& bars(std::span<const Bar> bars, double base, const char* colour);  // from `base` to height
  Plot& line(const Points& points, const char* colour, bool dashed = false);
  Plot& dots(const Points& points, const char* colour);
  // Words in the upper left corner, one below the other.
  Plot& note(const std::string& text, const char* colour);

  static constexpr double kWidth = 330, kHeight = 270;
  std::string svg(double left, double top) const;  // a group at this place

 private:
  double px(double x) const;
  double py(double y) const;
  std::string path(const Points& points) const;

  std::string title_;
  Axis x_, y_;
  std::string body_;
  int notes_ = 0;
};

// A whole file: plots in rows, below a title.
std::string svg_figure(const std::string& title, std::span<const Plot> plots, int columns);

}  // namespace expunge::tools
