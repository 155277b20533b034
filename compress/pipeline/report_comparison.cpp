// The sections of report.html that set models side by side beyond single figures: error by block,
// what they write, the grid of a sweep.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/pipeline/report_charts.h"
#include "compress/pipeline/report_sections.h"
#include "compress/pipeline/report_table.h"

namespace attar::report {
namespace {

using Json = nlohmann::ordered_json;

const Json* list_in(const EvaluationRow* row, const char* key) {
  if (!row || !row->details.is_object()) return nullptr;
  const auto found = row->details.find(key);
  return found != row->details.end() && found->is_array() && !found->empty() ? &*found : nullptr;
}

std::string text_in(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && found != json.end() ? plain(*found) : "";
}

/// The error after each block, if there is any.
Series block_errors(const Model& model) {
  Series series{model.name, {}};
  const Json* layers = list_in(model.find("block_error"), "layers");
  if (!layers) return series;
  double highest = 0;
  for (const auto& layer : *layers) {
    if (!layer.is_object() || !layer.contains("relative_error")) continue;
    if (!layer.at("relative_error").is_number()) continue;
    const double error = layer.at("relative_error").get<double>();
    highest = std::max(highest, error);
    series.points.push_back({static_cast<double>(series.points.size()), 100 * error});
  }
  if (highest == 0) series.points.clear();  // the reference itself
  return series;
}

/// How many bytes of two texts are the same from the start, cut at a character.
size_t shared_bytes(const std::string& a, const std::string& b) {
  const auto end = static_cast<long>(std::min(a.size(), b.size()));
  auto same =
      static_cast<size_t>(std::mismatch(a.begin(), a.begin() + end, b.begin()).first - a.begin());
  while (same > 0 && same < a.size() && (static_cast<unsigned char>(a[same]) & 0xc0) == 0x80)
    --same;
  return same;
}

std::string continuation(const std::string& text, const std::string& reference) {
  const size_t same = reference.empty() ? 0 : shared_bytes(text, reference);
  if (same == 0) return html(text);
  return "<span class=\"same\">" + html(text.substr(0, same)) + "</span>" + html(text.substr(same));
}

std::string sample_card(const std::vector<const Model*>& models, size_t index,
                        const Model* reference) {
  const auto sample = [&](const Model& model) -> const Json* {
    const Json* samples = list_in(model.find("generation_distinct"), "samples");
    return samples && index < samples->size() ? &samples->at(index) : nullptr;
  };
  const Json* first = sample(*models[0]);
  const Json* basis = reference ? sample(*reference) : nullptr;
  std::string text = "<article class=\"stage sample\"><h3><q>" +
                     html(first ? text_in(*first, "prompt") : "") + "</q></h3>\n<dl>";
  for (const auto* model : models) {
    const Json* own = sample(*model);
    if (!own) continue;
    const bool is_basis = !basis || model == reference;
    text += "<dt>" + html(model->name) + "</dt><dd>" +
            continuation(text_in(*own, "text"), is_basis ? "" : text_in(*basis, "text")) + "</dd>";
  }
  return text + "</dl></article>\n";
}

std::string sweep_table(const RunReport& run, const std::vector<Model>& models) {
  const Json axes = run.sweep.value("axes", Json::array());
  std::vector<std::string> metrics = {"model_bytes", run.sweep.value("metric", "perplexity"),
                                      "decode_tokens_per_s"};
  std::string text =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The grid\"><table "
      "class=\"sortable\"><thead><tr><th scope=\"col\">model</th>";
  for (const auto& axis : axes)
    text += "<th scope=\"col\">" + html(text_in(axis, "option")) + "</th>";
  for (const auto& metric : metrics) text += "<th scope=\"col\">" + html(metric) + "</th>";
  text += "<th scope=\"col\">budget</th></tr></thead><tbody>\n";
  for (const auto& entry : run.sweep.value("models", Json::array())) {
    const std::string name = text_in(entry, "model");
    const auto model =
        std::find_if(models.begin(), models.end(), [&](const Model& m) { return m.name == name; });
    const bool chosen = text_in(run.sweep, "recommended") == name;
    text += fmt::format("<tr><th scope=\"row\">{}{}</th>", html(name),
                        chosen ? "<small class=\"good\">recommended</small>" : "");
    const Json settings = entry.value("settings", Json::object());
    for (const auto& axis : axes)
      text += "<td>" + html(text_in(settings, text_in(axis, "option").c_str())) + "</td>";
    for (const auto& metric : metrics) {
      const EvaluationRow* row = model == models.end() ? nullptr : model->find(metric);
      text += row ? fmt::format("<td data-value=\"{:.17g}\">{}</td>", row->value,
                                html(format_value(row->value, row->unit)))
                  : "<td></td>";
    }
    const std::string beyond = text_in(entry, "beyond");
    text +=
        fmt::format("<td class=\"text\">{}</td></tr>\n", beyond.empty() ? "within" : html(beyond));
  }
  return text + "</tbody></table></div>\n";
}

}  // namespace

std::string blocks_section(const RunReport& run) {
  std::vector<Series> series;
  for (const auto& model : models_of(run))
    if (auto errors = block_errors(model); !errors.points.empty())
      series.push_back(std::move(errors));
  if (series.empty()) return "";
  const auto chart = [&](int width, int height) {
    return lines(series, fmt::format("Error by block, {} models", series.size()), "block", width,
                 height);
  };
  return "<section id=\"blocks\"><h2>Error by block</h2>\n<figure class=\"chart\"><figcaption>"
         "Distance of the hidden states from the reference's after each block, percent of their "
         "length</figcaption><div class=\"wide\">" +
         chart(1000, 320) + "</div><div class=\"narrow\">" + chart(360, 260) +
         "</div></figure></section>\n";
}

std::string samples_section(const RunReport& run) {
  const auto models = models_of(run);
  std::vector<const Model*> written;
  const Model* reference = nullptr;
  size_t count = 0;
  for (const auto& model : models) {
    const Json* samples = list_in(model.find("generation_distinct"), "samples");
    if (!samples) continue;
    written.push_back(&model);
    count = std::max(count, samples->size());
    if (model.is_reference) reference = &model;
  }
  if (written.empty()) return "";
  std::string text =
      "<section id=\"samples\"><h2>What they write</h2>\n<p class=\"caption\">Greedy "
      "continuations of the same prompts from the data.";
  if (reference) text += " What is as in the reference's text is pale.";
  text += "</p>\n";
  for (size_t i = 0; i < count; ++i) {
    if (i == 1) text += "<details><summary>more prompts</summary>\n";
    text += sample_card(written, i, reference);
  }
  return text + (count > 1 ? "</details>" : "") + "</section>\n";
}

std::string sweep_section(const RunReport& run) {
  if (!run.sweep.is_object()) return "";
  const auto models = models_of(run);
  std::string text = "<section id=\"sweep\"><h2>The sweep</h2>\n";
  for (const auto& line : run.sweep.value("advice", Json::array()))
    text += "<p>" + html(plain(line)) + "</p>\n";
  return text + sweep_table(run, models) + "</section>\n";
}

}  // namespace attar::report
