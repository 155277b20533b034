#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/threads.h"
#include "compress/data/dataset.h"
#include "compress/data/document_readers.h"
#include "compress/data/labelled.h"
#include "compress/data/text_set.h"

namespace attar {
namespace {

/// Lines with text of a document that is not parted otherwise.
std::vector<LabelledText> lines_of(const std::string& document, const std::string& path) {
  std::vector<LabelledText> rows;
  size_t begin = 0;
  for (int64_t line = 1; begin < document.size(); ++line) {
    const size_t end = std::min(document.find('\n', begin), document.size());
    std::string text = document.substr(begin, end - begin);
    if (text.ends_with('\r')) text.pop_back();
    if (text.find_first_not_of(" \t") != std::string::npos)
      rows.push_back({std::move(text), {}, {}, fmt::format("{}: text {}", path, line)});
    begin = end + 1;
  }
  return rows;
}

}  // namespace

std::vector<LabelledText> load_texts(const DataSpec& data, bool needs_label, uint64_t seed) {
  if (data_format(data) != "text" || needs_label) return load_labelled(data, needs_label, seed);
  const std::string path = data.path.string();
  std::vector<std::string> documents = load_documents(data);
  std::vector<LabelledText> rows;
  if (documents.size() == 1) {
    rows = lines_of(documents[0], path);
  } else {
    for (size_t i = 0; i < documents.size(); ++i)
      rows.push_back({std::move(documents[i]), {}, {}, fmt::format("{}: document {}", path, i)});
  }
  return draw_rows(std::move(rows), data.samples, seed);
}

TokenWindows encoded_texts(const std::vector<LabelledText>& rows, TextPart part,
                           const Tokenizer& tokenizer, const TextLimit& limit, int64_t vocab,
                           const DataSpec& data) {
  std::vector<EncodedText> texts(rows.size());
  parallel_for(std::ssize(rows), 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      std::optional<std::string_view> second;
      if (rows[i].second && part == TextPart::whole) second = *rows[i].second;
      texts[i] = tokenizer.encode_text(part == TextPart::second ? *rows[i].second : rows[i].text,
                                       second, limit.ids);
      if (texts[i].cut() && !limit.cuts)
        throw bad_input(
            fmt::format("the text has {} ids, and the model takes {}", texts[i].length, limit.ids),
            rows[i].where, "leave it out, or give the data entry a length to cut texts at");
    }
  });
  TokenWindows windows;
  windows.starts = {0};
  for (const EncodedText& text : texts) {
    for (const int32_t id : text.ids)
      if (id >= vocab)
        throw bad_input(fmt::format("the tokenizer gives the id {}, and the model's vocabulary "
                                    "ends at {}",
                                    id, vocab - 1),
                        data.where, "the tokenizer belongs to another model");
    windows.ids.insert(windows.ids.end(), text.ids.begin(), text.ids.end());
    windows.types.insert(windows.types.end(), text.types.begin(), text.types.end());
    windows.starts.push_back(std::ssize(windows.ids));
    windows.window = std::max(windows.window, std::ssize(text.ids));
    windows.facts.tokens += text.length;
  }
  if (windows.ids.empty()) throw bad_input("the data give no ids", data.where);
  windows.facts.source = data.path.string();
  windows.facts.tokenizer_hash = tokenizer.hash();
  windows.facts.documents = windows.facts.windows = windows.count();
  windows.facts.window = windows.window;
  windows.facts.dropped_tokens = windows.facts.tokens - std::ssize(windows.ids);
  windows.facts.sha256 = Sha256()
                             .update(std::as_bytes(std::span(windows.ids)))
                             .update(std::as_bytes(std::span(windows.types)))
                             .update(std::as_bytes(std::span(windows.starts)))
                             .hex();
  return windows;
}

TokenWindows text_windows(const DataSpec& data, const Tokenizer& tokenizer, int64_t longest,
                          int64_t vocab, uint64_t seed) {
  const TextLimit limit{std::min(longest, data.length.value_or(longest)), data.length.has_value()};
  return encoded_texts(load_texts(data, false, seed), TextPart::whole, tokenizer, limit, vocab,
                       data);
}

}  // namespace attar
