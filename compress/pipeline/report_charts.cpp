#include "compress/pipeline/report_charts.h"

#include <fmt/format.h>

#include "compress/pipeline/report_axis.h"
#include "compress/pipeline/report_table.h"

namespace attar::report {
namespace {

/// At most `limit` points, evenly chosen, the last among them.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& all,
                                               size_t limit) {
  if (all.size() <= limit) return all;
  std::vector<std::pair<double, double>> some;
  for (size_t i = 0; i < limit; ++i) some.push_back(all[i * (all.size() - 1) / (limit - 1)]);
  return some;
}

}  // namespace

std::string html(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  return out;
}

std::string bars(const std::vector<Bar>& rows, std::string_view title) {
  if (rows.empty()) return "";
  double longest = 0;
  for (const auto& bar : rows) longest = std::max(longest, bar.value);
  std::string text =
      fmt::format("<figure class=\"bars\"><figcaption>{}</figcaption><dl>\n", html(title));
  for (const auto& bar : rows)
    text += fmt::format(
        "<dt>{}</dt><dd{}><span class=\"bar\" style=\"width:{:.2f}%\"></span><b>{}</b></dd>\n",
        html(bar.label), bar.is_reference ? " class=\"reference\"" : "",
        longest > 0 ? 100 * std::max(0.0, bar.value) / longest : 0.0, html(bar.text));
  return text + "</dl></figure>\n";
}

std::string lines(const std::vector<Series>& series, std::string_view title,
                  std::string_view x_title, int width, int height) {
  std::vector<Series> drawn;
  double x_low = 0, x_high = 0, y_low = 0, y_high = 0;
  for (const auto& s : series) {
    Series kept{s.name, {}};
    for (const auto& [x, y] : s.points) {
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      const bool first = drawn.empty() && kept.points.empty();
      x_low = first ? x : std::min(x_low, x);
      x_high = first ? x : std::max(x_high, x);
      y_low = first ? y : std::min(y_low, y);
      y_high = first ? y : std::max(y_high, y);
      kept.points.push_back({x, y});
    }
    if (!kept.points.empty()) drawn.push_back(std::move(kept));
  }
  if (drawn.empty()) return "";
  Axis x{x_low, x_high, false, 50, width - 12.0};
  if (x.high <= x.low) x.high = x.low + 1;
  const Axis y = make_axis(y_low, y_high, 0, height - 34.0, 14);

  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" "
      "xmlns=\"http://www.w3.org/2000/svg\">\n",
      width, height, html(title));
  for (const double at : ticks(y, 4))
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{:.4g}</text>",
        x.from, x.to, y(at), y(at), x.from - 7, y(at) + 4, at);
  for (const double at : ticks(x, 4))
    svg += fmt::format(
        "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{:.6g}</text>",
        x(at), y.from + 17, at);
  svg += fmt::format("<text class=\"axis\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{}\">{}</text>",
                     (x.from + x.to) / 2, height - 2, html(x_title));
  for (size_t i = 0; i < drawn.size(); ++i) {
    svg +=
        fmt::format("<polyline class=\"line line{}{}\" points=\"", i % 8, i < 8 ? "" : " dashed");
    for (const auto& [px, py] : thinned(drawn[i].points, 500))
      svg += fmt::format("{:.1f},{:.1f} ", x(px), y(py));
    svg += "\"/>\n";
  }
  svg += "</svg>\n";
  if (drawn.size() > 1) {
    svg += "<p class=\"legend\">";
    for (size_t i = 0; i < drawn.size(); ++i)
      svg += fmt::format("<span class=\"key key{}{}\">{}</span> ", i % 8, i < 8 ? "" : " dashed",
                         html(drawn[i].name));
    svg += "</p>\n";
  }
  return svg;
}

}  // namespace attar::report
