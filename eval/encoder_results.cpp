#include "eval/encoder_results.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/architecture/sentence_modules.h"
#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"

namespace attar::eval {
namespace {

constexpr int64_t kBatch = 32;

/// Runs texts through one model, batch by batch.
class Reader {
 public:
  Reader(const std::string& name, const EncoderModel& model, const Tokenizer& tokenizer,
         int64_t limit, bool cuts, EncoderResults& results)
      : name_(name),
        model_(model),
        tokenizer_(tokenizer),
        limit_(limit),
        cuts_(cuts),
        results_(results) {}

  /// `first` and `second` give the texts of a row.
  template <class First, class Second>
  std::vector<float> read(const std::vector<LabelledText>& rows, First first, Second second) {
    const auto count = std::ssize(rows), width = model_.width();
    std::vector<float> values(static_cast<size_t>(count * width));
    Progress progress("evaluating " + name_, count, "texts");
    for (int64_t begin = 0; begin < count; begin += kBatch) {
      check_interrupted();
      const int64_t batch = std::min(kBatch, count - begin);
      std::vector<EncodedText> encoded(static_cast<size_t>(batch));
      parallel_for(batch, 4, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) {
          const LabelledText& row = rows[static_cast<size_t>(begin + i)];
          encoded[static_cast<size_t>(i)] = encode(row, first(row), second(row));
        }
      });
      std::vector<TextIds> texts;
      for (const EncodedText& text : encoded) {
        texts.push_back({text.ids, text.types});
        results_.tokens += std::ssize(text.ids);
        results_.cut += text.cut();
      }
      std::vector<float> result;
      try {
        result = model_.run(texts);
      } catch (const Error& e) {
        throw Error(e.code(),
                    fmt::format("model '{}', texts from {} on: {}", name_,
                                rows[static_cast<size_t>(begin)].where, e.what()),
                    e.where(), e.hint());
      }
      std::copy(result.begin(), result.end(), values.begin() + begin * width);
      progress.update(begin + batch);
    }
    return values;
  }

 private:
  EncodedText encode(const LabelledText& row, const std::string& first,
                     const std::string* second) const {
    EncodedText text = tokenizer_.encode_text(
        first, second ? std::optional<std::string_view>(*second) : std::nullopt, limit_);
    if (text.cut() && !cuts_)
      throw bad_input(
          fmt::format("the text has {} ids, and '{}' takes {}", text.length, name_, limit_),
          row.where, "leave it out, or cut such texts with --window (window: in a recipe)");
    return text;
  }

  const std::string& name_;
  const EncoderModel& model_;
  const Tokenizer& tokenizer_;
  int64_t limit_;
  bool cuts_;
  EncoderResults& results_;
};

void normalize_rows(std::vector<float>& values, int64_t width) {
  for (size_t at = 0; at < values.size(); at += static_cast<size_t>(width))
    normalize_vector(std::span(values).subspan(at, static_cast<size_t>(width)));
}

}  // namespace

LabelledSet load_set(const DataSpec& data, uint64_t seed) {
  LabelledSet set;
  set.rows = load_labelled(data, false, seed);
  set.path = data.path.string();
  set.sha256 = sha256_file(data.path);
  set.pairs = !data.pair.empty();
  set.labelled = std::any_of(set.rows.begin(), set.rows.end(),
                             [](const LabelledText& row) { return !row.label.empty(); });
  return set;
}

int64_t EncoderResults::choice(int64_t i) const {
  const auto logits = row(i);
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

EncoderResults run_encoder(const std::string& name, const Model& opened, const Tokenizer& tokenizer,
                           const LabelledSet& set, const std::optional<int64_t>& length,
                           const RuntimeOptions& runtime) {
  const auto model = EncoderModel::load(opened, runtime);
  EncoderResults results;
  results.spec = model->spec();
  results.width = model->width();
  results.count = set.count();
  const bool classifies = results.spec.task == attar::Task::classify;
  if (classifies && set.labelled) results.labels = label_indices(set.rows, results.spec.labels);
  const int64_t longest = longest_text(opened.path, results.spec);
  Reader reader(name, *model, tokenizer, std::min(longest, length.value_or(longest)),
                length.has_value(), results);
  const auto first = [](const LabelledText& row) -> const std::string& { return row.text; };
  const auto second = [](const LabelledText& row) -> const std::string& { return *row.second; };
  const auto none = [](const LabelledText&) -> const std::string* { return nullptr; };
  if (classifies) {
    results.values = reader.read(set.rows, first, [](const LabelledText& row) {
      return row.second ? &*row.second : nullptr;
    });
    return results;
  }
  results.values = reader.read(set.rows, first, none);
  normalize_rows(results.values, results.width);
  if (!set.pairs) return results;
  results.second = reader.read(set.rows, second, none);
  normalize_rows(results.second, results.width);
  return results;
}

}  // namespace attar::eval
