// From a task to token ids, and from a model's scores and texts to answers that are right or wrong.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eval/scoring.h"
#include "eval/tasks/task.h"

namespace attar::eval {

/// A task in a tokenizer's ids.
struct EncodedTask {
  std::shared_ptr<const LoadedTask> task;
  Sequences sequences;  // choices, last_word: a unit an example, a sequence a choice
  std::vector<std::vector<int32_t>> prompts;  // exact_match
  int64_t truncated = 0;                      // prompts whose beginning was cut off to fit
  bool bos = false;                           // whether one stands before each prompt
  nlohmann::ordered_json details;             // what rows over it say of how it was made
};

/// Prompt and choice are encoded together, so that the boundary is the one a reader would see;
/// white space at the prompt's end goes to the choice, as in lm-evaluation-harness. BOS as the
/// tokenizer's template has it. At most `positions` ids are read: too long prompts lose their
/// beginning. bad_input for a choice that does not fit by itself.
EncodedTask encode_task(std::shared_ptr<const LoadedTask> task, const Tokenizer& tokenizer,
                        int64_t positions);

/// A model's results, by the name of the row they are for: a value an example.
struct TaskResult {
  const EncodedTask* encoded = nullptr;
  std::map<std::string, std::vector<double>> values;
};

/// choices: "accuracy" and "accuracy_norm" (log-likelihoods a character of the choice);
/// last_word: "accuracy" and "loss", nats a word.
TaskResult judge_scores(const EncodedTask& encoded, const TokenScores& scores);

/// exact_match: "exact_match" (the number behind "#### ") and "exact_match_flexible" (the last
/// number in the text) of the texts that a model wrote.
TaskResult judge_texts(const EncodedTask& encoded, const std::vector<std::string>& texts);

}  // namespace attar::eval
