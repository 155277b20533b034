#include "distill/options.h"

#include <algorithm>
#include <string_view>

namespace attar::distill {

void TrainOptions::check(const Node& node, Problems& problems) const {
  training.check(node, problems);
  if (architecture && labels == "data")
    problems.add("'labels' goes with an input model", node["labels"].where(),
                 "a model from scratch is a causal language model");
  if (!architecture) {
    if (tokenizer)
      problems.add("'tokenizer' goes with 'architecture'", node["tokenizer"].where(),
                   "a continued model keeps its tokenizer");
    return;
  }
  const ArchitectureOptions& a = *architecture;
  const std::string where = node["architecture"].where();
  if (!tokenizer)
    problems.add("missing key 'tokenizer'", where,
                 "from scratch: tokenizer: {vocab_size: 4096} or tokenizer: {path: DIR}");
  else if (tokenizer->vocab_size.has_value() == tokenizer->path.has_value())
    problems.add("'tokenizer' needs exactly one of 'vocab_size' and 'path'",
                 node["tokenizer"].where());
  if (a.heads <= 0 || a.hidden <= 0) return;  // reported as missing
  if (!a.head_dim && a.hidden % a.heads != 0)
    problems.add("'hidden' is no multiple of 'heads'", where, "give 'head_dim'");
  if (a.head_dim.value_or(a.hidden / a.heads) % 2 != 0)
    problems.add("the head width must be even (rotary embedding)", where);
  if (a.heads % a.kv_heads.value_or(a.heads) != 0)
    problems.add("'heads' is no multiple of 'kv_heads'", where);
}

LlamaShape llama_shape(const ArchitectureOptions& a, int64_t vocab) {
  return {.vocab = vocab,
          .hidden = a.hidden,
          .ffn = a.ffn,
          .layers = a.layers,
          .heads = a.heads,
          .kv_heads = a.kv_heads.value_or(a.heads),
          .head_dim = a.head_dim.value_or(a.hidden / a.heads),
          .max_positions = a.context,
          .rope_theta = a.rope_theta,
          .tied = a.tied};
}

void DistillOptions::check(const Node& node, Problems& problems) const {
  training.check(node, problems);
  if (std::all_of(loss->weights.begin(), loss->weights.end(), [](double w) { return w == 0; }))
    problems.add("every loss has weight 0", node["loss"].where(),
                 "for instance {kl: 0.9, ce: 0.1}");
  if (!teacher_top_k) return;
  bool looks_at_teacher = false;
  for (size_t i = 0; i < losses().size(); ++i) {
    if (loss->weights[i] == 0) continue;
    looks_at_teacher = looks_at_teacher || losses()[i].needs_teacher();
    if (losses()[i].needs == LossNeeds::logits)
      problems.add(std::string("the loss '") + losses()[i].name + "' needs all logits",
                   node["teacher_top_k"].where(), "leave out teacher_top_k, or use kl");
    if (losses()[i].needs == LossNeeds::vectors)
      problems.add("an embedder's vectors are no distributions", node["teacher_top_k"].where(),
                   "leave out teacher_top_k");
  }
  if (!looks_at_teacher)
    problems.add("no loss looks at the teacher", node["teacher_top_k"].where(),
                 "leave out teacher_top_k, or give kl a weight");
}

namespace {

LossWeights weights_of(std::initializer_list<std::pair<std::string_view, double>> named) {
  LossWeights usual;
  for (size_t i = 0; i < usual.weights.size(); ++i)
    for (const auto& [name, weight] : named)
      if (name == losses()[i].name) usual.weights[i] = weight;
  return usual;
}

}  // namespace

LossWeights DistillOptions::usual_loss() {
  return weights_of({{"kl", 0.9}, {"ce", 0.1}});
}

LossWeights DistillOptions::usual_vector_loss() {
  return weights_of({{"cosine", 1.0}});
}

}  // namespace attar::distill
