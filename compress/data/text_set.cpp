#include "compress/data/text_set.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/data/document_readers.h"
#include "compress/data/selection.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

/// The indices that a file of ids has for its rows, after skip and take; empty without any.
std::vector<int64_t> read_label_ids(const DataSpec& data, int64_t labels) {
  const auto file = Safetensors::open(data.path);
  const TensorView* tensor = file.find("labels");
  if (tensor == nullptr) return {};
  const std::string where = fmt::format("{}: tensor labels", data.path.string());
  const int64_t rows = file.at("input_ids").shape.front();
  if (tensor->shape != std::vector<int64_t>{rows})
    throw bad_input(fmt::format("one number for each of the {} rows is expected", rows), where);
  std::vector<int64_t> all = tensor->integers();
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] < 0 || all[i] >= labels)
      throw bad_input(fmt::format("the label {} is none of the model's {}", all[i], labels),
                      fmt::format("{}, element {}", where, i));
  const Range range = selected_range(data, rows, "rows");
  return {all.begin() + range.begin, all.begin() + range.end};
}

TextSet ids_set(const DataSpec& data, const std::vector<std::string>& labels, const TextUse& use,
                int64_t longest, int64_t vocab) {
  if (use.partners)
    throw bad_input("ids have no pairs of texts", data.where, "use jsonl, csv or tsv with a pair");
  if (data.samples)
    throw bad_input("samples are not drawn from ids of texts", data.where, "use take");
  TextSet set;
  set.texts = evaluation_windows(data, nullptr, longest, vocab, 0);
  if (set.texts.window > longest)
    throw bad_input(fmt::format("texts of {} ids are longer than the {} that are read",
                                set.texts.window, longest),
                    data.where, "raise window, up to the model's maximum");
  if (use.labels != TextUse::Labels::none) set.labels = read_label_ids(data, std::ssize(labels));
  if (set.labels.empty() && use.labels == TextUse::Labels::required)
    throw bad_input("the file of ids has no tensor \"labels\"", data.path.string(),
                    "add one, int64 [rows], or give texts with a label field");
  return set;
}

}  // namespace

TextSet load_text_set(const DataSpec& data, const Tokenizer* tokenizer,
                      const std::vector<std::string>& labels, const TextUse& use, int64_t longest,
                      int64_t vocab, uint64_t seed) {
  if (data_format(data) == "ids") return ids_set(data, labels, use, longest, vocab);
  if (tokenizer == nullptr)
    throw bad_input("text needs a tokenizer, and the model has none", data.where,
                    "put tokenizer.json into the model's directory, or use format: ids");
  if (use.partners && data.pair.empty())
    throw bad_input("an embedder learns from pairs of texts that belong together", data.where,
                    "name the field of the second text: pair: answer");
  const auto rows = load_texts(data, use.labels == TextUse::Labels::required, seed);
  const TextLimit limit{std::min(longest, data.length.value_or(longest)), true};
  const auto encode = [&](TextPart part) {
    return encoded_texts(rows, part, *tokenizer, limit, vocab, data);
  };
  TextSet set;
  set.texts = encode(use.partners ? TextPart::first : TextPart::whole);
  if (use.partners) set.partners = encode(TextPart::second);
  const bool labelled = std::any_of(rows.begin(), rows.end(),
                                    [](const LabelledText& row) { return !row.label.empty(); });
  if (use.labels != TextUse::Labels::none && labelled)
    set.labels = label_indices(rows, labels).index;
  return set;
}

}  // namespace attar
