// What models that share a tokenizer are run over: windows, chunks, documents, tasks and prompts in
// its ids, made once for all of them before anything is computed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eval/choice.h"
#include "eval/subject.h"
#include "eval/tasks/answers.h"

namespace attar::eval {

/// A set of sequences, and what rows over it say of how it was made.
struct Scorable {
  Sequences sequences;
  nlohmann::ordered_json details;
};

struct Material {
  Scorable windows, chunks, documents;   // empty unless the choice needs them
  std::vector<TextSize> document_sizes;  // of the original texts
  std::vector<EncodedTask> tasks;        // in the request's order
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::string> prompt_texts;

  /// Everything that decides a metric's values beside the model, for the cache's key.
  nlohmann::ordered_json identity(const Metric& metric, size_t task) const;
};

/// `positions`: the fewest that a model or the reference has. Throws bad_input: no window, a window
/// longer than `positions`, text without a tokenizer, ids where a metric needs text.
Material prepare_material(const EvaluationRequest& request, const Choice& choice,
                          const std::vector<std::shared_ptr<const LoadedTask>>& tasks,
                          const Subject& subject, int64_t positions);

/// bad_input unless both are the same ids, of a model and its reference whose tokenizers are
/// spelled differently.
void require_same_ids(const Material& model, const Material& reference, const Subject& subject,
                      const std::string& reference_name);

/// Ready-made ids instead of text.
bool is_ids(const DataSpec& data);

}  // namespace attar::eval
