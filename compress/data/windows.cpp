#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "compress/data/dataset.h"
#include "compress/data/document_readers.h"
#include "compress/data/selection.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

constexpr int64_t kDocumentsAtOnce = 4096;
constexpr size_t kProgressBytes = size_t{4} << 20;  // below, it takes a second at most

/// Ids before they are cut: a stream, or rows that stay as they are.
struct Ids {
  std::vector<int32_t> values;
  std::optional<int64_t> row;  // ids of one ready-made window
};

const Tokenizer& require_tokenizer(const Tokenizer* tokenizer, const DataSpec& data) {
  if (!tokenizer)
    throw bad_input("text needs a tokenizer, and the model has none", data.where,
                    "put tokenizer.json into the model's directory, or use format: ids");
  require_whole_texts(*tokenizer, data.where);
  return *tokenizer;
}

/// How many tokens the template adds to one text.
int64_t added_tokens(const Tokenizer& tokenizer) {
  return static_cast<int64_t>(tokenizer.encode("", true).size()) -
         static_cast<int64_t>(tokenizer.encode("", false).size());
}

void check_range(const std::vector<int32_t>& ids, int64_t vocab, const DataSpec& data) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= vocab)
      throw bad_input(fmt::format("the id {} at position {} is outside the model's vocabulary "
                                  "(0 to {})",
                                  ids[i], i, vocab - 1),
                      data.path.string(), "the data or the tokenizer belongs to another model");
}

/// `input_ids` [1, T] or [N, T], after skip and take.
Ids read_ids(const DataSpec& data) {
  const auto file = Safetensors::open(data.path);
  const TensorView& tensor = file.at("input_ids");
  const std::string where = fmt::format("{}: tensor input_ids", data.path.string());
  if (tensor.shape.size() != 2)
    throw bad_input(fmt::format("{} dimensions instead of 2", tensor.shape.size()), where,
                    "one text is [1, T], ready-made windows are [N, T]");
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  const std::vector<int64_t> all = tensor.integers();
  if (all.empty()) throw bad_input("it is empty", where);
  const Range range = selected_range(data, rows == 1 ? columns : rows, rows == 1 ? "ids" : "rows");
  const int64_t unit = rows == 1 ? 1 : columns;
  Ids ids;
  if (rows > 1) ids.row = columns;
  ids.values.reserve(static_cast<size_t>((range.end - range.begin) * unit));
  for (int64_t i = range.begin * unit; i < range.end * unit; ++i) {
    const int64_t id = all[static_cast<size_t>(i)];
    if (id < 0 || id > std::numeric_limits<int32_t>::max())
      throw bad_input(fmt::format("{} at position {} is no token id", id, i), where);
    ids.values.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::string join(const std::vector<std::string>& documents) {
  std::string text;
  for (size_t i = 0; i < documents.size(); ++i) {
    if (i > 0) text += "\n\n";
    text += documents[i];
  }
  return text;
}

/// Documents one after the other, each with the template and an end token.
std::vector<int32_t> pack(const std::vector<std::string>& documents, const Tokenizer& tokenizer,
                          int32_t end_token) {
  const auto count = static_cast<int64_t>(documents.size());
  size_t bytes = 0;
  for (const auto& document : documents) bytes += document.size();
  std::optional<Progress> progress;
  if (bytes > kProgressBytes) progress.emplace("tokenizing", count, "documents");
  std::vector<int32_t> packed;
  packed.reserve(bytes / 4);
  for (int64_t first = 0; first < count; first += kDocumentsAtOnce) {
    const int64_t batch = std::min(kDocumentsAtOnce, count - first);
    std::vector<std::vector<int32_t>> encoded(static_cast<size_t>(batch));
    parallel_for(batch, 16, [&](int64_t begin, int64_t end) {
      check_interrupted();
      for (int64_t i = begin; i < end; ++i)
        encoded[static_cast<size_t>(i)] =
            tokenizer.encode(documents[static_cast<size_t>(first + i)]);
    });
    for (const auto& ids : encoded) {
      packed.insert(packed.end(), ids.begin(), ids.end());
      if (ids.empty() || ids.back() != end_token) packed.push_back(end_token);
    }
    if (progress) progress->update(first + batch);
  }
  return packed;
}

/// Keeps `samples` windows, drawn without replacement, in their order.
void sample(TokenWindows& windows, int64_t samples, uint64_t seed) {
  if (samples >= windows.count()) return;
  std::vector<int64_t> order(static_cast<size_t>(windows.count()));
  std::iota(order.begin(), order.end(), 0);
  Random(seed).shuffle(order);
  order.resize(static_cast<size_t>(samples));
  std::sort(order.begin(), order.end());
  std::vector<int32_t> kept;
  for (const int64_t w : order) {
    const auto window = windows.at(w);
    kept.insert(kept.end(), window.begin(), window.end());
  }
  windows.ids = std::move(kept);
}

/// Cuts, checks, samples; `facts` has what is known of the documents.
TokenWindows cut(Ids ids, int64_t window, int64_t vocab, const DataSpec& data, uint64_t seed,
                 DataFacts facts) {
  check_range(ids.values, vocab, data);
  TokenWindows windows;
  windows.window = ids.row.value_or(window);
  const auto count = static_cast<int64_t>(ids.values.size());
  if (count < windows.window)
    throw bad_input(fmt::format("\"{}\" has {} tokens, and one window needs {}", data.path.string(),
                                count, windows.window),
                    data.where, "take more data or a shorter window (length, --window)");
  facts.tokens = count;
  facts.dropped_tokens = count % windows.window;
  ids.values.resize(static_cast<size_t>(count - facts.dropped_tokens));
  windows.ids = std::move(ids.values);
  if (data.samples) {
    if (*data.samples < 1) throw bad_input("samples has to be at least 1", data.where);
    sample(windows, *data.samples, seed);
  }
  facts.source = data.path.string();
  facts.window = windows.window;
  facts.windows = windows.count();
  facts.sha256 = Sha256().update(std::as_bytes(std::span(windows.ids))).hex();
  windows.facts = std::move(facts);
  return windows;
}

/// Ready-made ids; `window` is how many ids a window of a stream has.
TokenWindows ids_windows(const DataSpec& data, int64_t window, int64_t vocab, uint64_t seed) {
  Ids ids = read_ids(data);
  if (ids.row && data.length && *data.length != *ids.row)
    throw bad_input(fmt::format("length is {}, but the windows of \"{}\" have {} ids", *data.length,
                                data.path.string(), *ids.row),
                    data.where);
  return cut(std::move(ids), window, vocab, data, seed, {});
}

int64_t window_length(const DataSpec& data, int64_t window) {
  const int64_t length = data.length.value_or(window);
  if (length < 1) throw bad_input(fmt::format("a window of {} ids", length), data.where);
  return length;
}

}  // namespace

void require_whole_texts(const Tokenizer& tokenizer, const std::string& where) {
  if (tokenizer.length_limit() > 0)
    throw bad_input(
        fmt::format("the tokenizer cuts every text off after {} tokens", tokenizer.length_limit()),
        where, "set \"truncation\" to null in tokenizer.json");
}

TokenWindows evaluation_windows(const DataSpec& data, const Tokenizer* tokenizer, int64_t window,
                                int64_t vocab, uint64_t seed) {
  const int64_t length = window_length(data, window);
  if (data_format(data) == "ids") return ids_windows(data, length, vocab, seed);
  const Tokenizer& text_tokenizer = require_tokenizer(tokenizer, data);
  const auto documents = load_documents(data);
  DataFacts facts;
  facts.tokenizer_hash = text_tokenizer.hash();
  facts.documents = static_cast<int64_t>(documents.size());
  facts.bos_added = added_tokens(text_tokenizer);
  Ids ids{text_tokenizer.encode(join(documents)), {}};
  return cut(std::move(ids), length, vocab, data, seed, std::move(facts));
}

TokenWindows training_windows(const DataSpec& data, const Tokenizer* tokenizer, int64_t window,
                              int64_t vocab, uint64_t seed) {
  const int64_t length = window_length(data, window) + 1;
  if (data_format(data) == "ids") return ids_windows(data, length, vocab, seed);
  const Tokenizer& text_tokenizer = require_tokenizer(tokenizer, data);
  const auto end_token = text_tokenizer.eos();
  if (!end_token)
    throw bad_input("the tokenizer names no end token, which has to part the documents", data.where,
                    "add eos_token to tokenizer_config.json");
  const auto documents = load_documents(data);
  DataFacts facts;
  facts.tokenizer_hash = text_tokenizer.hash();
  facts.documents = static_cast<int64_t>(documents.size());
  facts.bos_added = added_tokens(text_tokenizer) * facts.documents;
  Ids ids{pack(documents, text_tokenizer, *end_token), {}};
  return cut(std::move(ids), length, vocab, data, seed, std::move(facts));
}

}  // namespace attar
