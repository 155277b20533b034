// The accuracy-against-size chart.
#include <fmt/format.h>

#include <array>
#include <limits>

#include "compress/pipeline/report_axis.h"
#include "compress/pipeline/report_charts.h"
#include "compress/pipeline/report_table.h"

namespace attar::report {
namespace {

struct Box {
  double left, top, right, bottom;

  double overlap(const Box& other) const {
    const double w = std::min(right, other.right) - std::max(left, other.left);
    const double h = std::min(bottom, other.bottom) - std::max(top, other.top);
    return w > 0 && h > 0 ? w * h : 0;
  }
  double area() const { return (right - left) * (bottom - top); }
};

constexpr double kRadius = 6, kTextHeight = 16, kTextWidth = 7.3;

struct Mark {
  const Point* point;
  double x, y, low, high;  // pixels; low and high: the interval's ends
  bool is_dominated;
  std::string label;
  bool is_beyond = false;  // above the axis: drawn at its end
};

struct Label {
  Box box;
  double distance;  // from the point
};

double text_width(std::string_view text) {
  size_t letters = 0;
  for (const char c : text) letters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return kTextWidth * static_cast<double>(letters) + 4;
}

/// What a label at `box` would cover: labels and points weigh most, then intervals and the
/// frontier.
double cost(const Box& box, const Box& plot, const std::vector<Mark>& marks,
            const std::vector<Box>& taken, const std::vector<Box>& frontier) {
  double sum = 12 * (box.area() - box.overlap(plot));
  for (const auto& other : taken) sum += 10 * box.overlap(other);
  for (const auto& m : marks) {
    const double r = kRadius + 2;
    sum += 10 * box.overlap({m.x - r, m.y - r, m.x + r, m.y + r});
    sum += 4 * box.overlap({m.x - 3, m.high, m.x + 3, m.low});
  }
  for (const auto& piece : frontier) sum += 2 * box.overlap(piece);
  return sum;
}

/// The best of some places around the point.
Label place_label(const Mark& mark, const Box& plot, const std::vector<Mark>& marks,
                  const std::vector<Box>& taken, const std::vector<Box>& frontier) {
  const double width = text_width(mark.label);
  Label best{{}, 0};
  double best_cost = std::numeric_limits<double>::infinity();
  for (const double distance : {11.0, 22.0, 36.0, 54.0, 76.0})
    for (const double turn : {0.0, 0.125, 0.875, 0.25, 0.75, 0.5, 0.375, 0.625}) {
      const double dx = std::cos(turn * 6.283185307), dy = -std::sin(turn * 6.283185307);
      const double x = mark.x + dx * distance + (dx - 1) / 2 * width;
      const double y = mark.y + dy * distance - kTextHeight / 2;
      const Box box{x, y, x + width, y + kTextHeight};
      const double c = cost(box, plot, marks, taken, frontier) + distance + 4 * turn;
      if (c < best_cost) {
        best_cost = c;
        best = {box, distance};
      }
    }
  return best;
}

/// The frontier from small to large.
std::vector<Mark> frontier_of(const std::vector<Mark>& marks) {
  std::vector<Mark> frontier;
  for (const auto& mark : marks)
    if (!mark.is_dominated && !mark.is_beyond) frontier.push_back(mark);
  std::sort(frontier.begin(), frontier.end(),
            [](const Mark& a, const Mark& b) { return a.x < b.x || (a.x == b.x && a.y < b.y); });
  return frontier;
}

/// The line as a chain of small boxes, for cost().
std::vector<Box> pieces(const std::vector<Mark>& frontier) {
  std::vector<Box> boxes;
  for (size_t i = 1; i < frontier.size(); ++i) {
    const auto &a = frontier[i - 1], &b = frontier[i];
    const int steps = std::max(1, static_cast<int>(std::hypot(b.x - a.x, b.y - a.y) / 6));
    for (int s = 0; s <= steps; ++s) {
      const double t = static_cast<double>(s) / steps;
      const double x = a.x + t * (b.x - a.x), y = a.y + t * (b.y - a.y);
      boxes.push_back({x - 2, y - 2, x + 2, y + 2});
    }
  }
  return boxes;
}

/// "5 MB"
std::string tick_bytes(double bytes) {
  std::string text = format_value(bytes, "bytes");
  if (const size_t zero = text.find(".0 "); zero != std::string::npos) text.erase(zero, 2);
  return text;
}

/// The highest y that belongs on the axis: a model that fell apart (beyond the upper quartile by
/// more than four times the distance of the quartiles) must not squash the others.
double highest_shown(const std::vector<Point>& points) {
  std::vector<double> values;
  for (const auto& p : points) values.push_back(p.y);
  std::sort(values.begin(), values.end());
  if (values.size() < 4) return values.back();
  const double lower = values[values.size() / 4], upper = values[(3 * values.size() - 1) / 4];
  const double limit = upper + 4 * std::max(upper - lower, 0.02 * std::fabs(upper));
  while (values.back() > limit) values.pop_back();
  return values.back();
}

std::string draw_axes(const Axis& x, const Axis& y, std::string_view y_title) {
  std::string svg;
  for (const double at : ticks(y, 5))
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{:.6g}</text>",
        x.from, x.to, y(at), y(at), x.from - 8, y(at) + 4, at);
  double last = -1e9;
  for (const double at : ticks(x, 5)) {
    if (x(at) - last < 56) continue;  // the next label would run into this one
    last = x(at);
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
        x(at), x(at), y.from, y.to, x(at), y.from + 19, tick_bytes(at));
  }
  svg += fmt::format(
      "<text class=\"axis\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">size of the weights "
      "on disk{}</text>",
      (x.from + x.to) / 2, y.from + 42, x.logarithmic ? " (logarithmic)" : "");
  svg += fmt::format("<text class=\"axis\" x=\"2\" y=\"14\">{}{}</text>", html(y_title),
                     y.logarithmic ? " (logarithmic)" : "");
  svg += fmt::format("<text class=\"hint\" x=\"{:.1f}\" y=\"{:.1f}\">↙ smaller and better</text>",
                     x.from + 8, y.from - 9);
  return svg;
}

std::string draw_mark(const Mark& mark, const Label& label) {
  const Point& p = *mark.point;
  const char* kind = p.is_reference ? "reference" : mark.is_dominated ? "dominated" : "front";
  std::string svg = fmt::format(
      "<g class=\"mark {}\" tabindex=\"0\" role=\"img\" aria-label=\"{}\" data-tip=\"{}\">", kind,
      html(p.label + ": " + p.tip), html(p.label + "\n" + p.tip));
  if (mark.low - mark.high > 1 && !mark.is_beyond)
    svg += fmt::format(
        "<path class=\"interval\" d=\"M{0:.1f} {1:.1f}V{2:.1f}M{3:.1f} {1:.1f}h8M{3:.1f} "
        "{2:.1f}h8\"/>",
        mark.x, mark.low, mark.high, mark.x - 4);
  const double cx = (label.box.left + label.box.right) / 2,
               cy = (label.box.top + label.box.bottom) / 2;
  if (label.distance > 15)
    svg += fmt::format(
        "<line class=\"leader\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", mark.x,
        mark.y, std::clamp(mark.x, label.box.left, label.box.right),
        mark.y < cy ? label.box.top + 2 : label.box.bottom - 2);
  if (mark.is_beyond)
    svg += fmt::format("<path class=\"dot\" d=\"M{:.1f} {:.1f}l7 12h-14z\"/>", mark.x, mark.y - 6);
  else if (p.is_reference)
    svg += fmt::format("<path class=\"dot\" d=\"M{:.1f} {:.1f}l7.5 7.5l-7.5 7.5l-7.5-7.5z\"/>",
                       mark.x, mark.y - 7.5);
  else
    svg += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>", mark.x,
                       mark.y, kRadius);
  svg += fmt::format(
      "<text class=\"label\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}"
      "</text></g>\n",
      cx, label.box.bottom - 4, html(mark.label));
  return svg;
}

/// Logarithmic beyond a range of 8; a value of zero then stands at the lower end.
Axis y_axis(const std::vector<Point>& points, const Box& plot) {
  const double positive = [&] {
    double least = std::numeric_limits<double>::infinity();
    for (const auto& p : points)
      if (p.y > 0) least = std::min(least, p.y);
    return least;
  }();
  double greatest = 0;
  for (const auto& p : points) greatest = std::max(greatest, p.y);
  const bool wide = greatest > 8 * positive;
  const double shown = wide ? greatest : highest_shown(points);
  double low = std::numeric_limits<double>::infinity(), high = shown;
  for (const auto& p : points) {
    if (p.y > shown || (wide && p.y <= 0)) continue;
    const double bottom = p.y_low.value_or(p.y);
    low = std::min({low, p.y, wide && bottom <= 0 ? p.y : bottom});
    high = std::max({high, p.y, p.y_high.value_or(p.y)});
  }
  return make_axis(low, high, 8, plot.bottom, plot.top);
}

}  // namespace

std::vector<bool> dominated(const std::vector<Point>& points) {
  std::vector<bool> result;
  for (const auto& p : points) {
    bool beaten = false;
    for (const auto& q : points)
      beaten = beaten || (q.x <= p.x && q.y <= p.y && (q.x < p.x || q.y < p.y));
    result.push_back(beaten);
  }
  return result;
}

std::string scatter(const std::vector<Point>& points, std::string_view title,
                    std::string_view y_title, int width, int height) {
  if (points.empty()) return "";
  const auto [smallest, largest] = std::minmax_element(
      points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  const Box plot{58, 26, width - 18.0, height - 52.0};
  const Axis x = make_axis(smallest->x, largest->x, 8, plot.left, plot.right);
  const Axis y = y_axis(points, plot);

  const auto beaten = dominated(points);
  std::vector<Mark> marks;
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& p = points[i];
    const auto pixel = [&](double value) {
      return std::clamp(y(std::max(value, y.logarithmic ? y.low : value)), plot.top, plot.bottom);
    };
    Mark mark{
        &p,        x(p.x), pixel(p.y), pixel(p.y_low.value_or(p.y)), pixel(p.y_high.value_or(p.y)),
        beaten[i], p.label};
    mark.is_beyond = p.y > y.high;
    if (mark.is_beyond) mark.label += " ↑ " + significant(p.y, 4);
    marks.push_back(std::move(mark));
  }
  const auto frontier = frontier_of(marks);
  std::string line;
  for (const auto& mark : frontier) line += fmt::format("{:.1f},{:.1f} ", mark.x, mark.y);

  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"group\" aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/"
      "svg\">\n{}\n<polyline class=\"frontier\" points=\"{}\"/>\n",
      width, height, html(title), draw_axes(x, y, y_title), line);
  const auto line_pieces = pieces(frontier);
  std::vector<Box> taken = {{plot.left, plot.bottom - 24, plot.left + 140, plot.bottom}};  // hint
  for (const auto& mark : marks) {
    const Label label = place_label(mark, plot, marks, taken, line_pieces);
    taken.push_back(label.box);
    svg += draw_mark(mark, label);
  }
  return svg + "</svg>\n";
}

}  // namespace attar::report
