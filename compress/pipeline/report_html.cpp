// report.html: the page's frame, its headline, and the sections about models.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/pipeline/assets.h"
#include "compress/pipeline/report_charts.h"
#include "compress/pipeline/report_sections.h"
#include "compress/pipeline/report_table.h"

namespace attar {
namespace report {
namespace {

std::string tile(std::string_view name, const std::string& value, const std::string& note) {
  return fmt::format(
      "<div class=\"tile\"><span class=\"name\">{}</span><span class=\"value\">{}</span>"
      "<span class=\"note\">{}</span></div>\n",
      html(name), html(value), html(note));
}

/// "+2.31 %"
std::string change(double value, double base) {
  return fmt::format("{:+.2f} %", 100 * (value / base - 1));
}

/// "7.1 × smaller"
std::string times(double ratio, const char* more, const char* less) {
  return ratio >= 1 ? fmt::format("{} × {}", significant(ratio, 3), more)
                    : fmt::format("{} × {}", significant(1 / ratio, 3), less);
}

/// "was 29.4 MB" for the reference's value of `metric`.
std::string was(const Model* reference, const std::string& metric) {
  const EvaluationRow* row = reference ? reference->find(metric) : nullptr;
  return row ? "was " + format_value(row->value, row->unit) : "";
}

std::string tiles(const Model& model, const Model* reference) {
  std::string text;
  const auto add = [&](const char* name, const std::string& metric, const std::string& note) {
    if (const EvaluationRow* row = model.find(metric))
      text += tile(name, format_value(row->value, row->unit), note);
  };
  const auto relative = [&](const std::string& metric, auto describe) -> std::string {
    const auto mine = model.value(metric);
    const auto base = reference ? reference->value(metric) : std::nullopt;
    return mine && base && *mine > 0 && *base > 0 ? describe(*mine, *base) : "";
  };
  add("size of the weights", "model_bytes", relative("model_bytes", [&](double mine, double base) {
        return times(base / mine, "smaller", "larger") + ", " + was(reference, "model_bytes");
      }));
  add("bits per weight", "bits_per_weight", was(reference, "bits_per_weight"));
  add("perplexity", "perplexity", relative("perplexity", [&](double mine, double base) {
        return change(mine, base) + ", " + was(reference, "perplexity");
      }));
  add("KL divergence, mean", "kl_mean", "nats per prediction");
  add("top-1 agreement", "top1_agreement", "same likeliest token");
  add("decode, tokens/s", "decode_tokens_per_s",
      relative("decode_tokens_per_s", [&](double mine, double base) {
        return times(mine / base, "faster", "slower") + ", " +
               was(reference, "decode_tokens_per_s");
      }));
  add("prefill, tokens/s", "prefill_tokens_per_s",
      relative("prefill_tokens_per_s", [&](double mine, double base) {
        return times(mine / base, "faster", "slower") + ", " +
               was(reference, "prefill_tokens_per_s");
      }));
  add("peak memory", "peak_rss_bytes", was(reference, "peak_rss_bytes"));
  return text;
}

/// "int4 is 7.1 × smaller than teacher; its perplexity is 2.31 % higher."
std::string sentence(const Model& model, const Model& reference) {
  std::string text;
  const auto mine = model.value("model_bytes"), base = reference.value("model_bytes");
  if (mine && base && *mine > 0 && *base > 0)
    text = fmt::format("<b>{}</b> is <b>{}</b> than {}", html(model.name),
                       times(*base / *mine, "smaller", "larger"), html(reference.name));
  const auto ppl = model.value("perplexity"), base_ppl = reference.value("perplexity");
  if (!ppl || !base_ppl || !(*base_ppl > 0)) return text.empty() ? "" : text + ".";
  text += text.empty() ? "The perplexity of <b>" + html(model.name) + "</b> is "
                       : std::string("; its perplexity is ");
  const double percent = 100 * (*ppl / *base_ppl - 1);
  text += std::fabs(percent) < 0.005 ? std::string("the same.")
                                     : fmt::format("<b>{:.2f} % {}</b>.", std::fabs(percent),
                                                   percent > 0 ? "higher" : "lower");
  return text;
}

/// What is plotted: smaller is better, so that shares of right answers become shares of wrong ones.
double plotted(const EvaluationRow& row, double value) {
  return row.higher_is_better ? 1 - value : value;
}

/// The interval to draw: that of the paired difference from the reference where it was measured,
/// for it is what tells two points of the chart apart.
void add_interval(const EvaluationRow& row, Point& point) {
  const auto number = [&](const char* key) -> std::optional<double> {
    const auto& d = row.details;
    if (!d.is_object() || !d.contains("paired") || !d["paired"].is_object()) return std::nullopt;
    const auto found = d["paired"].find(key);
    return found != d["paired"].end() && found->is_number() ? std::optional(found->get<double>())
                                                            : std::nullopt;
  };
  const auto ratio = number("ratio"), low = number("ratio_ci_low"), high = number("ratio_ci_high");
  if (ratio && low && high && *ratio > 0) {
    point.y_low = row.value / *ratio * *low;
    point.y_high = row.value / *ratio * *high;
  } else if (!point.is_reference && row.ci_low && row.ci_high) {
    const double a = plotted(row, *row.ci_low), b = plotted(row, *row.ci_high);
    point.y_low = std::min(a, b);
    point.y_high = std::max(a, b);
  }
}

std::vector<Point> points_of(const std::vector<Model>& models, const std::string& metric) {
  std::vector<Point> points;
  for (const auto& model : models) {
    const auto size = model.value("model_bytes"), y = model.value(metric);
    const bool is_zero_point = metric == "kl_mean" && model.is_reference;
    if (!size || !y || *size <= 0 || is_zero_point) continue;
    Point point;
    point.label = model.name;
    point.x = *size;
    const EvaluationRow& own = *model.find(metric);
    point.y = plotted(own, *y);
    point.is_reference = model.is_reference;
    point.tip = format_value(*size, "bytes");
    std::vector<std::string> facts = {"bits_per_weight", "perplexity", "kl_mean", "top1_agreement"};
    if (std::find(facts.begin(), facts.end(), metric) == facts.end()) facts.push_back(metric);
    for (const auto& fact : facts)
      if (const EvaluationRow* row = model.find(fact))
        point.tip += fmt::format("\n{} {}", fact, format_value(row->value, row->unit));
    add_interval(own, point);
    points.push_back(std::move(point));
  }
  return points;
}

std::string accuracy_chart(const std::vector<Model>& models, const std::string& metric,
                           const std::string& title, const std::string& y_title) {
  const auto points = points_of(models, metric);
  if (points.size() < 2) return "";
  const std::string name = fmt::format("{} against size, {} models", title, points.size());
  return fmt::format(
      "<figure class=\"chart\" data-choice=\"{}\"><div class=\"wide\">{}</div>"
      "<div class=\"narrow\">{}</div></figure>\n",
      html(title), scatter(points, name, y_title, 1000, 470),
      scatter(points, name, y_title, 360, 380));
}

/// Charts of what tasks measured: the share of wrong answers.
std::string task_charts(const RunReport& run, const std::vector<Model>& models) {
  std::vector<std::string> drawn;
  std::string text;
  for (const auto& row : run.evaluation) {
    if (row.metric != "accuracy" && row.metric != "accuracy_norm" && row.metric != "exact_match")
      continue;
    const std::string key = metric_key(run.evaluation, row);
    if (std::find(drawn.begin(), drawn.end(), key) != drawn.end()) continue;
    drawn.push_back(key);
    const bool normed = row.metric == "accuracy_norm";
    text += accuracy_chart(models, key, row.protocol + (normed ? ", normalized" : ""),
                           "wrong answers, " + row.protocol);
  }
  return text;
}

std::string bars_of(const std::vector<Model>& models, const std::string& metric,
                    std::string_view title) {
  std::vector<Bar> rows;
  for (const auto& model : models)
    if (const auto value = model.value(metric))
      rows.push_back(
          {model.name, format_value(*value, model.find(metric)->unit), *value, model.is_reference});
  return bars(rows, title);
}

std::string cell(const EvaluationRow* row) {
  if (!row) return "<td></td>";
  const std::string interval = format_interval(*row), against = format_paired(*row);
  return fmt::format("<td data-value=\"{:.17g}\">{}{}{}</td>", row->value,
                     html(format_value(row->value, row->unit)),
                     interval.empty() ? "" : "<small>" + html(interval) + "</small>",
                     against.empty() ? "" : "<small>" + html(against) + "</small>");
}

std::string models_table(const std::vector<Model>& models, const std::vector<Column>& columns,
                         std::string_view name) {
  std::string text = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table "
      "class=\"sortable\"><thead><tr><th scope=\"col\">model</th>",
      name);
  for (const auto& column : columns)
    text += fmt::format("<th scope=\"col\">{}</th>", html(column.title));
  text += "</tr></thead><tbody>\n";
  for (const auto& model : models) {
    text += fmt::format("<tr><th scope=\"row\">{}{}</th>", html(model.name),
                        model.is_reference ? "<small>reference</small>" : "");
    for (const auto& column : columns) text += cell(model.find(column.metric));
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

}  // namespace

std::string headline(const RunReport& run) {
  const auto models = models_of(run);
  const Model *model = final_model(models), *reference = reference_model(models);
  if (!model) return "";
  if (reference == model) reference = nullptr;
  std::string text = "<section class=\"headline\" aria-label=\"Result\">\n";
  if (reference)
    if (const auto line = sentence(*model, *reference); !line.empty())
      text += "<p class=\"sentence\">" + line + "</p>\n";
  return text + "<div class=\"tiles\">" + tiles(*model, reference) + "</div></section>\n";
}

std::string accuracy_section(const RunReport& run) {
  const auto models = models_of(run);
  const std::string charts =
      accuracy_chart(models, "perplexity", "Perplexity", "perplexity") +
      accuracy_chart(models, "kl_mean", "KL divergence", "KL to the reference, nats") +
      task_charts(run, models);
  if (charts.empty()) return "";
  return "<section id=\"accuracy\"><h2>Accuracy against size</h2>\n<div class=\"choices\">" +
         charts +
         "</div>\n<p class=\"caption\"><span class=\"key front\">on the frontier</span> "
         "<span class=\"key dominated\">beaten in both size and accuracy</span> "
         "<span class=\"key reference\">reference</span> Bars are 95 % bootstrap intervals over "
         "windows; where there is a reference, of the paired difference from it.</p></section>\n";
}

std::string speed_section(const RunReport& run) {
  const auto models = models_of(run);
  const std::string charts =
      bars_of(models, "decode_tokens_per_s", "Decode, tokens per second (higher is better)") +
      bars_of(models, "prefill_tokens_per_s", "Prefill, tokens per second (higher is better)") +
      bars_of(models, "peak_rss_bytes", "Peak memory (lower is better)");
  if (charts.empty()) return "";
  return "<section id=\"speed\"><h2>Speed and memory</h2><div class=\"three\">" + charts +
         "</div></section>\n";
}

std::string models_section(const RunReport& run) {
  const auto models = models_of(run);
  if (models.empty()) return "";
  const auto columns = columns_of(run);
  std::string text = "<section id=\"models\"><h2>All models</h2>\n" +
                     models_table(models, columns.main, "All models") +
                     "<p class=\"caption\">± is half the width of the 95 % bootstrap interval over "
                     "windows, documents or examples. Below it the difference from the reference "
                     "on the same ones, with the p-value of there being none. KL in nats, to the "
                     "reference.</p>";
  if (!columns.other.empty())
    text += "<details><summary>more metrics</summary>" +
            models_table(models, columns.other, "More metrics") + "</details>\n";
  return text + "</section>\n";
}

}  // namespace report

std::string render_html(const RunReport& run) {
  using namespace report;
  std::string notes;
  for (const auto& note : run.notes) notes += "<li>" + html(note) + "</li>";
  if (!notes.empty())
    notes = "<section class=\"notes\" aria-label=\"Notes\"><ul>" + notes + "</ul></section>\n";
  return fmt::format(
             "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<meta name=\"color-scheme\" content=\"light dark\">\n"
             "<meta name=\"generator\" content=\"attar {}\">\n<title>{} · attar</title>\n"
             "<style>\n{}</style>\n</head>\n<body>\n<header><p class=\"brand\">attar<span> "
             "compression "
             "report</span></p><h1>{}</h1></header>\n<main>\n",
             ATTAR_VERSION, html(run.name), assets::report_css(), html(run.name)) +
         headline(run) + notes + accuracy_section(run) + sweep_section(run) + speed_section(run) +
         models_section(run) + blocks_section(run) + samples_section(run) + stages_section(run) +
         checks_section(run) + data_section(run) + reproduction_section(run) +
         fmt::format(
             "</main>\n<footer>Made by attar {}. This page is one file and needs no network."
             "</footer>\n<div id=\"tip\" hidden></div>\n<script>\n{}</script>\n</body>\n</html>\n",
             ATTAR_VERSION, assets::report_js());
}

}  // namespace attar
