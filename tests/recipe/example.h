// A recipe with every kind of key, and the mistakes of others as text.
#pragma once

#include <string>

#include "compress/recipe/recipe.h"

namespace attar::testing {

inline const std::string kExample = R"(attar: 1
name: stories
seed: 7
output: runs/${name}
model: models/teacher
budget: {ram: 8G}
data:
  train: {path: stories.txt, format: text}
  validation: {path: held.jsonl, format: jsonl, field: story, skip: 0.1, take: 0.5}
  calibration: {from: train, samples: 128, length: 512}
stages:
  - {name: slim, type: prune, method: width, keep: {ffn: 0.5, heads: 0.75}, data: calibration}
  - {name: student, type: distill, from: slim, teacher: model, data: train, steps: 2000}
  - name: int4
    type: quantize
    scheme: W4A16
evaluate:
  data: validation
  reference: model
  metrics: [perplexity, kl]
  models: [model, slim, int4]
  window: 256
gates:
  int4: {recovery: 0.95, kl_mean_max: 0.1}
)";

/// parse_recipe as a file /recipes/recipe.yaml would be.
inline Recipe parsed(const std::string& text, Problems& problems,
                     const std::vector<std::string>& overrides = {}) {
  return parse_recipe(text, "recipe.yaml", "/recipes", overrides, std::nullopt, problems);
}

/// One line a mistake: "where | what | hint".
inline std::string listed(const Problems& problems) {
  std::string text;
  for (const auto& p : problems.list()) text += p.where + " | " + p.what + " | " + p.hint + "\n";
  return text;
}

inline std::string mistakes(const std::string& text,
                            const std::vector<std::string>& overrides = {}) {
  Problems problems;
  parsed(text, problems, overrides);
  return listed(problems);
}

/// `text` with the first `from` replaced.
inline std::string with(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace attar::testing
