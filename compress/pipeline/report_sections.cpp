// The sections of report.html about how the models came to be.
#include "compress/pipeline/report_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/pipeline/plan.h"
#include "compress/pipeline/report_charts.h"
#include "compress/pipeline/report_table.h"

namespace attar::report {
namespace {

using Json = nlohmann::ordered_json;

/// One curve of a stage: [[x, y], …]; anything else draws nothing.
Series series_from(const std::string& name, const Json& json) {
  Series series{name, {}};
  if (!json.is_array()) return series;
  for (const auto& pair : json)
    if (pair.is_array() && pair.size() == 2 && pair[0].is_number() && pair[1].is_number())
      series.points.push_back({pair[0].get<double>(), pair[1].get<double>()});
  return series;
}

/// "loss" and "validation_loss" share a picture; other curves have their own.
std::string curves(const StageRow& stage) {
  if (!stage.report.curves.is_object()) return "";
  std::vector<std::vector<Series>> pictures;
  for (const auto& [name, json] : stage.report.curves.items()) {
    Series series = series_from(name, json);
    if (series.points.empty()) continue;
    const bool is_loss = name.find("loss") != std::string::npos;
    auto picture = std::find_if(pictures.begin(), pictures.end(), [&](const auto& p) {
      return is_loss && p[0].name.find("loss") != std::string::npos;
    });
    if (picture == pictures.end())
      pictures.push_back({std::move(series)});
    else
      picture->push_back(std::move(series));
  }
  std::string text;
  for (const auto& picture : pictures)
    text += fmt::format("<figure class=\"curve\"><figcaption>{}</figcaption>{}</figure>\n",
                        html(picture[0].name),
                        lines(picture, stage.name + ": " + picture[0].name, "step", 400, 200));
  return text.empty() ? "" : "<div class=\"curves\">" + text + "</div>";
}

/// The key of the figure that a layer is judged by: the first whose name says so, else the first
/// number.
std::string loss_key(const Json& layer) {
  std::string number;
  for (const auto& [key, value] : layer.items()) {
    if (!value.is_number()) continue;
    for (const char* word : {"loss", "error", "kl", "distortion"})
      if (key.find(word) != std::string::npos) return key;
    if (number.empty() && value.is_number_float()) number = key;
  }
  return number;
}

std::string layer_name(const Json& layer, size_t index) {
  for (const auto& [key, value] : layer.items())
    if (value.is_string()) return value.get<std::string>();
  return "layer " + std::to_string(index);
}

std::string layers_table(const Json& layers, const std::string& stage) {
  std::vector<std::string> keys;
  for (const auto& layer : layers)
    for (const auto& [key, value] : layer.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  std::string text = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Layers of {}\"><table "
      "class=\"sortable\"><thead><tr>",
      html(stage));
  for (const auto& key : keys) text += "<th scope=\"col\">" + html(key) + "</th>";
  text += "</tr></thead><tbody>\n";
  for (const auto& layer : layers) {
    text += "<tr>";
    for (const auto& key : keys) {
      const Json value = layer.value(key, Json());
      text += value.is_number() ? fmt::format("<td data-value=\"{:.9g}\">{:.4g}</td>",
                                              value.get<double>(), value.get<double>())
                                : "<td class=\"text\">" + html(plain(value)) + "</td>";
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>";
}

/// A column a layer, and the table behind it.
std::string layers(const StageRow& stage) {
  const Json& list = stage.report.layers;
  if (!list.is_array() || list.empty() ||
      !std::all_of(list.begin(), list.end(), [](const Json& l) { return l.is_object(); }))
    return "";
  const std::string key = loss_key(list[0]);
  double highest = 0;
  const auto value_of = [&](const Json& layer) {
    const bool has = layer.contains(key) && layer.at(key).is_number();
    return has ? layer.at(key).get<double>() : 0.0;
  };
  for (const auto& layer : list) highest = std::max(highest, value_of(layer));
  std::string columns;
  for (size_t i = 0; i < list.size() && highest > 0; ++i)
    columns += fmt::format("<i style=\"height:{:.1f}%\" data-tip=\"{}\n{} {:.4g}\"></i>",
                           std::max(1.0, 100 * value_of(list[i]) / highest),
                           html(layer_name(list[i], i)), html(key), value_of(list[i]));
  if (!columns.empty())
    columns = fmt::format(
        "<figure class=\"layers\"><figcaption>{} by layer, highest {:.4g}</figcaption><div "
        "class=\"columns\" role=\"img\" aria-label=\"{} of {} layers\">{}</div></figure>",
        html(key), highest, html(key), list.size(), columns);
  return columns + fmt::format("<details><summary>{} layers</summary>{}</details>", list.size(),
                               layers_table(list, stage.name));
}

std::string stage_card(const StageRow& stage) {
  std::string text = fmt::format(
      "<article class=\"stage {}\"><h3>{} <span class=\"type\">{}</span><span "
      "class=\"status\">{}</span></h3>\n<dl class=\"numbers\">",
      html(stage.status), html(stage.name), html(stage.type), html(stage.status));
  const auto number = [&](const char* name, const std::string& value) {
    text += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name, html(value));
  };
  if (!stage.from.empty()) number("from", stage.from);
  number("time", format_seconds(stage.seconds));
  number("peak memory", human_bytes(stage.peak_rss_bytes));
  if (stage.parameters > 0) {
    number("parameters", with_commas(stage.parameters));
    number("on disk", human_bytes(stage.bytes_on_disk));
    number("bits/weight", fmt::format("{:.2f}", stage.bits_per_weight));
  }
  text += "</dl>\n";
  if (!stage.bits_excluded.empty())
    text += "<p class=\"caption\">bits/weight leaves out: " + html(stage.bits_excluded) + "</p>";
  text += curves(stage) + layers(stage);
  const std::string options = facts_list(stage.options), facts = facts_list(stage.report.facts);
  if (!options.empty()) text += "<details><summary>options</summary>" + options + "</details>\n";
  if (!facts.empty()) text += "<details><summary>measured</summary>" + facts + "</details>\n";
  return text + "</article>\n";
}

std::string fallback_rows(const StageRow& stage) {
  std::string text;
  for (const auto& f : stage.report.fallbacks)
    text += fmt::format(
        "<tr><td class=\"text\">{}</td><td class=\"text warn\">fallback</td><td class=\"text\">{}"
        "<small>{}</small></td><td class=\"text\">{}</td></tr>\n",
        html(stage.name), html(f.what), html(f.where), html(f.why));
  return text;
}

std::string check_rows(const StageRow& stage, bool passed) {
  std::string text;
  for (const auto& c : stage.report.checks)
    if (c.passed == passed)
      text += fmt::format(
          "<tr><td class=\"text\">{}</td><td class=\"text {}\">{}</td><td "
          "class=\"text\">{}</td><td "
          "class=\"text\">{}</td></tr>\n",
          html(stage.name), c.passed ? "good" : "bad", c.passed ? "passed" : "FAILED", html(c.name),
          html(c.detail));
  return text;
}

std::string checks_table(const std::string& rows, std::string_view name) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"{}\"><table><thead><tr><th "
      "scope=\"col\">stage</th><th scope=\"col\">result</th><th scope=\"col\">what</th><th "
      "scope=\"col\">detail</th></tr></thead><tbody>\n{}</tbody></table></div>\n",
      name, rows);
}

/// How values were had: the details of the first row of every protocol stand for the others.
std::string measured(const RunReport& run) {
  std::string text;
  std::vector<std::string> told;
  for (const auto& row : run.evaluation) {
    if (!row.details.is_object()) continue;
    if (row.protocol.empty() && !row.details.contains("method")) continue;
    const std::string what =
        row.protocol.empty() ? "speed and memory were" : "protocol " + row.protocol + " was";
    if (std::find(told.begin(), told.end(), what) != told.end()) continue;
    told.push_back(what);
    Json details = row.details;
    for (const char* own : {"paired", "loss_nats", "interval", "by_unit"}) details.erase(own);
    text += fmt::format("<details><summary>how {} measured</summary>{}</details>\n", html(what),
                        facts_list(details));
  }
  return text;
}

}  // namespace

std::string plain(const Json& json) {
  const auto replace = Json::error_handler_t::replace;
  if (json.is_string()) return json.get<std::string>();
  if (json.is_null()) return "none";
  if (json.is_boolean()) return json.get<bool>() ? "yes" : "no";
  if (json.is_number_float()) return fmt::format("{:.6g}", json.get<double>());
  if (!json.is_structured()) return json.dump(-1, ' ', false, replace);
  std::string text;
  for (const auto& [key, value] : json.items()) {
    if (!text.empty()) text += ", ";
    text += json.is_object() ? key + ": " + plain(value) : plain(value);
  }
  return text.empty() ? "none" : text;
}

std::string facts_list(const Json& json) {
  if (!json.is_object() || json.empty()) return "";
  std::string text = "<dl class=\"facts\">";
  for (const auto& [key, value] : json.items())
    text += "<dt>" + html(key) + "</dt><dd>" + html(plain(value)) + "</dd>";
  return text + "</dl>";
}

std::string stages_section(const RunReport& run) {
  if (run.stages.empty()) return "";
  std::string text = "<section id=\"stages\"><h2>Stages</h2>\n";
  for (const auto& stage : run.stages) text += stage_card(stage);
  return text + "</section>\n";
}

std::string checks_section(const RunReport& run) {
  if (run.stages.empty()) return "";
  const Checks count = count_checks(run);
  std::string open, passed;  // what needs a look, and what does not
  for (const auto& stage : run.stages) {
    open += fallback_rows(stage) + check_rows(stage, false);
    passed += check_rows(stage, true);
  }
  std::string text = fmt::format(
      "<section id=\"checks\"><h2>Fallbacks and checks</h2><p>{} · {} · {}</p>\n",
      count.fallbacks == 0 ? "No fallback: everything was done as asked"
                           : fmt::format("<b class=\"warn\">{} fallback{}</b>", count.fallbacks,
                                         count.fallbacks == 1 ? "" : "s"),
      fmt::format("{} checks passed", count.passed),
      count.failed == 0 ? std::string("none failed")
                        : fmt::format("<b class=\"bad\">{} failed</b>", count.failed));
  if (!open.empty()) text += checks_table(open, "Fallbacks and failed checks");
  if (!passed.empty())
    text += "<details><summary>every check that passed</summary>" +
            checks_table(passed, "Passed checks") + "</details>\n";
  return text + "</section>\n";
}

std::string data_section(const RunReport& run) {
  std::string text;
  for (const auto& data : run.data) {
    if (!data.is_object()) continue;
    text += "<article class=\"stage\"><h3>" +
            html(data.contains("name") ? plain(data.at("name")) : "data") + "</h3>";
    text += facts_list(data) + "</article>\n";
  }
  text += measured(run);
  return text.empty()
             ? ""
             : "<section id=\"data\"><h2>Data and measurement</h2>\n" + text + "</section>\n";
}

std::string reproduction_section(const RunReport& run) {
  std::string text = "<section id=\"again\"><h2>Make it again</h2>\n";
  if (!run.command.empty())
    text += "<div class=\"command\"><pre tabindex=\"0\"><code>" + html(run.command) +
            "</code></pre><button type=\"button\" data-copy=\"" + html(run.command) +
            "\">copy</button></div>\n";
  Json facts = {{"attar", ATTAR_VERSION}, {"seed", run.seed}};
  if (!run.recipe_sha256.empty()) facts["recipe SHA-256"] = run.recipe_sha256;
  if (run.host.is_object())
    for (const auto& [key, value] : run.host.items())
      facts[key == "memory_bytes" ? "memory" : key] =
          key == "memory_bytes" && value.is_number_unsigned()
              ? Json(human_bytes(value.get<uint64_t>()))
              : value;
  return text + facts_list(facts) + "</section>\n";
}

}  // namespace attar::report
