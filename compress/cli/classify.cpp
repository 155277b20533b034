// attar classify: the labels that a classifier gives to texts.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/cli/texts.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const ModelSpec& spec, std::span<const float> logits, const EncodedText& text,
             bool all) {
  const std::vector<double> scores = label_scores(logits, spec.label_scores);
  // The first of the largest logits: scores may have rounded to the same value.
  const auto best =
      static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  Json json = {{"label", spec.labels[best]}, {"score", scores[best]}};
  if (all) {
    json["scores"] = Json::array();
    for (size_t i = 0; i < scores.size(); ++i)
      json["scores"].push_back({{"label", spec.labels[i]}, {"score", scores[i]}});
  }
  if (text.cut()) json["ids_cut"] = text.length - static_cast<int64_t>(text.ids.size());
  return json;
}

int run(const Command& self, const std::vector<std::string>& args) {
  TextOptions texts;
  po::options_description options = text_options(texts);
  bool all = false;
  options.add_options()("all", po::bool_switch(&all), "the scores of all labels");
  po::positional_options_description positional;
  positional.add("model", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  check_text_options(parsed, self, texts);
  const TextEncoder encoder = load_encoder(texts, Task::classify);
  run_texts(texts, encoder, [&](std::span<float> logits, const EncodedText& text) {
    fmt::print("{}\n", to_json(encoder.model->spec(), logits, text, all)
                           .dump(-1, ' ', false, Json::error_handler_t::replace));
  });
  return 0;
}

}  // namespace

Command classify_command() {
  return {"classify", "MODEL (--text TEXT | --file FILE) [options]",
          "labels texts with a classifier, one JSON line each",
          "attar classify ./router --text \"My card has not arrived yet\" --all\n"
          "attar classify ./router --file questions.txt --batch 64 > labels.jsonl\n"
          "attar classify ./reranker --file query-and-passage.tsv --pairs",
          run};
}

}  // namespace attar::cli
