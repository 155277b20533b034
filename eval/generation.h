// Texts that models write after prompts, by greedy decoding.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/runtime/model.h"
#include "compress/tokenizer/tokenizer.h"
#include "eval/scoring.h"

namespace attar::eval {

struct GreedyOptions {
  int64_t limit = 256;             // ids at most
  std::vector<int32_t> ends;       // ids that end a text and do not belong to it
  std::vector<std::string> stops;  // the text ends before any of these; needs a tokenizer
};

/// What a model wrote after one prompt. `text` is empty without a tokenizer.
struct Continuation {
  std::vector<int32_t> ids;
  std::string text;
};

/// Continues every prompt (ids, not empty), several at a time, each in a thread of its own; `what`
/// is for the progress line. The model's last position ends a text too. Throws failure naming the
/// model and the prompt.
std::vector<Continuation> continue_prompts(const Runner& runner,
                                           const std::vector<std::vector<int32_t>>& prompts,
                                           const Tokenizer* tokenizer, const GreedyOptions& options,
                                           const std::string& what);

/// Prompts with what one model wrote after each, for the report.
struct Continuations {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::string> prompt_texts;  // without a tokenizer: the ids
  std::vector<Continuation> texts;
};

}  // namespace attar::eval
