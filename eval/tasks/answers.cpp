#include "eval/tasks/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/tokenizer/unicode.h"

namespace attar::eval {
namespace {

/// The ids that the tokenizer's template puts before a text.
std::vector<int32_t> template_prefix(const Tokenizer& tokenizer) {
  const auto bos = tokenizer.bos();
  const auto alone = tokenizer.encode("", true);
  if (bos && !alone.empty() && alone[0] == *bos) return {*bos};
  return {};
}

/// A text starts somewhere: without a template's BOS an empty prompt is BOS, else EOS.
int32_t start_id(const Tokenizer& tokenizer, const Example& example) {
  if (const auto bos = tokenizer.bos()) return *bos;
  if (const auto eos = tokenizer.eos()) return *eos;
  throw bad_input("the prompt is empty and the tokenizer names neither BOS nor EOS", example.where);
}

class Encoder {
 public:
  Encoder(const LoadedTask& task, const Tokenizer& tokenizer, int64_t positions)
      : task_(task),
        tokenizer_(tokenizer),
        positions_(positions),
        prefix_(template_prefix(tokenizer)) {}

  bool has_bos() const { return !prefix_.empty(); }

  std::vector<int32_t> ids(const std::string& text) const {
    std::vector<int32_t> ids = prefix_;
    const auto own = tokenizer_.encode(text, false);
    ids.insert(ids.end(), own.begin(), own.end());
    return ids;
  }

  struct Pair {
    std::vector<int32_t> ids;
    int64_t continuation;  // how many of them are the choice's
    bool truncated;
  };

  Pair pair(const Example& example, const std::string& choice) const {
    std::string prompt = example.prompt, answer = task_.delimiter + choice;
    const size_t end = prompt.find_last_not_of(" \t\n\r\f\v") + 1;
    answer.insert(0, prompt.substr(end));
    prompt.erase(end);
    std::vector<int32_t> context = ids(prompt);
    Pair pair;
    if (context.empty()) {
      pair.ids = {start_id(tokenizer_, example)};
      context = pair.ids;
      const auto own = tokenizer_.encode(answer, false);
      pair.ids.insert(pair.ids.end(), own.begin(), own.end());
    } else {
      pair.ids = ids(prompt + answer);
    }
    // Where the two melt into one id, that id is the choice's.
    const auto whole = std::ssize(pair.ids);
    pair.continuation = std::max<int64_t>(1, whole - std::ssize(context));
    if (whole < 2)
      throw bad_input(fmt::format("the choice \"{}\" has no ids", choice), example.where);
    const int64_t surplus = whole - 1 - positions_;
    pair.truncated = surplus > 0;
    if (!pair.truncated) return pair;
    if (pair.continuation > positions_)
      throw bad_input(fmt::format("a choice of {} ids does not fit into the model's {} positions",
                                  pair.continuation, positions_),
                      example.where);
    pair.ids.erase(pair.ids.begin(), pair.ids.begin() + surplus);
    return pair;
  }

  /// A prompt that leaves room for the answer.
  std::vector<int32_t> prompt(const Example& example, bool& truncated) const {
    auto text = ids(example.prompt);
    if (text.empty()) text = {start_id(tokenizer_, example)};
    const int64_t room = std::max<int64_t>(1, positions_ - task_.longest_answer);
    const int64_t surplus = std::ssize(text) - room;
    truncated = surplus > 0;
    if (truncated) text.erase(text.begin(), text.begin() + surplus);
    return text;
  }

 private:
  const LoadedTask& task_;
  const Tokenizer& tokenizer_;
  int64_t positions_;
  std::vector<int32_t> prefix_;
};

int64_t characters(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

/// The first of the greatest values.
size_t likeliest(const std::vector<double>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

/// Log-likelihoods of an example's choices, and whether greedy decoding would write them.
struct Likelihoods {
  std::vector<double> log;
  std::vector<bool> greedy;
};

Likelihoods likelihoods(const Sequences& set, const TokenScores& scores, size_t unit) {
  Likelihoods found;
  int64_t at = scores.starts[unit];
  for (auto s = static_cast<size_t>(set.starts[unit]);
       s < static_cast<size_t>(set.starts[unit + 1]); ++s) {
    double sum = 0;
    bool greedy = true;
    for (int64_t i = 0; i < set.list[s].predictions(); ++i, ++at) {
      sum -= scores.loss[static_cast<size_t>(at)];
      greedy = greedy && scores.hit[static_cast<size_t>(at)];
    }
    found.log.push_back(sum);
    found.greedy.push_back(greedy);
  }
  return found;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The first "#### <number>" of a text: −, digits, points and commas. "" when there is none.
std::string marked_number(const std::string& text) {
  for (size_t at = 0; (at = text.find("#### ", at)) != std::string::npos; ++at) {
    size_t begin = at + 5, end = begin;
    if (end < text.size() && text[end] == '-') ++end;
    const size_t digits = end;
    while (end < text.size() && (is_digit(text[end]) || text[end] == '.' || text[end] == ','))
      ++end;
    if (end > digits) return text.substr(begin, end - begin);
  }
  return "";
}

/// The last number of a text: an optional −, then at least two of "$0123456789.,", or digits alone.
std::string last_number(const std::string& text) {
  const auto of_number = [](char c) { return is_digit(c) || c == '$' || c == '.' || c == ','; };
  std::string last;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const bool minus = text[at] == '-';
    size_t end = at + minus;
    while (end < text.size() && of_number(text[end])) ++end;
    const size_t length = end - begin - minus;
    if (length >= 2 || (length == 1 && is_digit(text[begin + minus]))) {
      last = text.substr(begin, end - begin);
      at = end;
    } else {
      ++at;
    }
  }
  return last;
}

/// As lm-evaluation-harness compares: without commas, dollar signs, what stands before "#### ", and
/// a point at the end.
std::string plain_number(std::string text) {
  if (const size_t mark = text.rfind("#### "); mark != std::string::npos) text.erase(0, mark + 5);
  std::erase_if(text, [](char c) { return c == ',' || c == '$'; });
  if (text.ends_with('.')) text.pop_back();
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

EncodedTask encode_task(std::shared_ptr<const LoadedTask> task, const Tokenizer& tokenizer,
                        int64_t positions) {
  EncodedTask encoded;
  const Encoder encoder(*task, tokenizer, positions);
  encoded.bos = encoder.has_bos();
  encoded.sequences.unit = "example";
  const size_t count = task->examples.size();
  std::vector<std::vector<Encoder::Pair>> pairs(count);
  encoded.prompts.resize(task->kind == TaskKind::exact_match ? count : 0);
  std::vector<uint8_t> cut(count);
  parallel_for(static_cast<int64_t>(count), 8, [&](int64_t from, int64_t to) {
    for (auto i = static_cast<size_t>(from); i < static_cast<size_t>(to); ++i) {
      const Example& example = task->examples[i];
      if (task->kind == TaskKind::exact_match) {
        bool truncated = false;
        encoded.prompts[i] = encoder.prompt(example, truncated);
        cut[i] = truncated;
        continue;
      }
      for (const auto& choice : example.choices) {
        pairs[i].push_back(encoder.pair(example, choice));
        cut[i] = cut[i] || pairs[i].back().truncated;
      }
    }
  });
  for (size_t i = 0; i < count; ++i) {
    encoded.truncated += cut[i];
    for (const auto& pair : pairs[i])
      encoded.sequences.add(pair.ids, std::ssize(pair.ids) - pair.continuation - 1);
    if (task->kind != TaskKind::exact_match) encoded.sequences.close();
  }
  encoded.task = std::move(task);
  return encoded;
}

TaskResult judge_scores(const EncodedTask& encoded, const TokenScores& scores) {
  TaskResult result{&encoded, {}};
  const auto& examples = encoded.task->examples;
  for (size_t i = 0; i < examples.size(); ++i) {
    const Likelihoods found = likelihoods(encoded.sequences, scores, i);
    if (encoded.task->kind == TaskKind::last_word) {
      result.values["accuracy"].push_back(found.greedy[0]);
      result.values["loss"].push_back(-found.log[0]);
      continue;
    }
    std::vector<double> normed;
    for (size_t c = 0; c < found.log.size(); ++c)
      normed.push_back(found.log[c] / static_cast<double>(characters(examples[i].choices[c])));
    result.values["accuracy"].push_back(examples[i].worth[likeliest(found.log)]);
    result.values["accuracy_norm"].push_back(examples[i].worth[likeliest(normed)]);
  }
  return result;
}

TaskResult judge_texts(const EncodedTask& encoded, const std::vector<std::string>& texts) {
  TaskResult result{&encoded, {}};
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string expected = plain_number(encoded.task->examples[i].choices[0]);
    result.values["exact_match"].push_back(plain_number(marked_number(texts[i])) == expected);
    result.values["exact_match_flexible"].push_back(plain_number(last_number(texts[i])) ==
                                                    expected);
  }
  return result;
}

}  // namespace attar::eval
