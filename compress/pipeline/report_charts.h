// The pictures of report.html: static SVG and HTML, drawn here so that the page needs no script to
// show them. Colours come from classes in assets/report.css.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attar::report {

/// Text for HTML and SVG content and attribute values.
std::string html(std::string_view text);

struct Point {
  std::string label, tip;  // tip: one line a fact, parted by '\n'
  double x = 0, y = 0;
  std::optional<double> y_low, y_high;
  bool is_reference = false;
};

/// Which points another one beats: not larger and not worse, and one of the two strictly.
std::vector<bool> dominated(const std::vector<Point>& points);

/// Smaller is better on both axes: x bytes (logarithmic beyond a range of 8), y likewise. Draws the
/// frontier, hollow dominated points, intervals, and labels that keep clear of each other. `points`
/// are finite and positive in x; may be empty (an empty string comes back).
std::string scatter(const std::vector<Point>& points, std::string_view title,
                    std::string_view y_title, int width, int height);

struct Bar {
  std::string label, text;
  double value = 0;
  bool is_reference = false;
};
/// Horizontal bars from zero.
std::string bars(const std::vector<Bar>& bars, std::string_view title);

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
/// Lines over a common x; "" when there is nothing finite to draw.
std::string lines(const std::vector<Series>& series, std::string_view title,
                  std::string_view x_title, int width, int height);

}  // namespace attar::report
