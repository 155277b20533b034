// The fields of a recipe outside its stages, listed once like every options struct: what a recipe
// may hold, what the schema for editors says, and what the messages name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/options.h"

namespace attar {

/// One entry of `data:`; what is not given comes from the entry named by `from`.
struct DataSection {
  std::optional<std::string> from, path, format, include, field, pair, label, messages, split;
  std::optional<int64_t> samples, length;
  std::optional<double> skip, take;

  template <class Visitor>
  void fields(Visitor& v) {
    v("from", from, "another entry of data: whose fields are the defaults");
    v("path", path, "a file, or a directory of text files");
    v("format", format, "how the file is read; default: by its extension",
      one_of("text", "jsonl", "csv", "tsv", "ids"));
    v("include", include, "of a directory: file-name patterns, space separated (\"*.h *.hpp\")");
    v("field", field, "jsonl, csv, tsv: where the text is; default: text");
    v("pair", pair, "jsonl, csv, tsv: where the second text of a pair is");
    v("label", label, "jsonl, csv, tsv: where the label is");
    v("messages", messages, "jsonl: where the list of chat messages is");
    v("split", split, "text: the line that parts documents; default: a file is one document");
    v("samples", samples, "windows at most, drawn with the recipe's seed", at_least(1));
    v("length", length, "ids a window", at_least(1));
    v("skip", skip, "fraction of the documents to leave out, from the first", between(0, 1));
    v("take", take, "fraction of the documents to use, after the skipped ones", above(0, 1));
  }
};

struct BudgetSection {
  std::string ram;

  template <class Visitor>
  void fields(Visitor& v) {
    v("ram", ram, "memory that no stage may exceed: bytes, or with k, M, G, T (1024 each)",
      required());
  }
};

struct EvaluateSection {
  std::string data, reference = "model", activations = "exact";
  std::vector<std::string> metrics, models;
  std::vector<std::string> tasks;
  std::optional<int64_t> window, samples, reference_top_k;
  int64_t shots = 0;

  template <class Visitor>
  void fields(Visitor& v) {
    v("data", data, "the data entry to measure on", required());
    v("reference", reference, "the stage (or model) that relative metrics refer to, or none");
    v("reference_top_k", reference_top_k,
      "keep that many ids of the reference's distributions on disk instead of running it for every "
      "model; KL is then a lower bound",
      at_least(1));
    v("metrics", metrics, "what to measure; default: all that apply");
    v("activations", activations,
      "how inputs enter products with quantized weights: exact, or rounded by groups to int16 or "
      "int8, "
      "each faster; the reference is always exact",
      one_of("exact", "int16", "int8"));
    v("models", models, "stages (or model) to measure; default: the model and every stage");
    v("window", window, "ids a window; default: the smaller of 2048 and the models' maximum",
      at_least(2));
    v("tasks", tasks, "files of questions with answers: FILE or NAME=FILE");
    v("shots", shots, "solved examples before each question of a task", between(0, 1000));
    v("samples", samples, "examples of each task at most, drawn with the recipe's seed",
      at_least(1));
  }
};

struct SweepBudgetSection {
  std::optional<std::string> bytes, memory;
  std::optional<double> decode_tokens_per_s, prefill_tokens_per_s;

  template <class Visitor>
  void fields(Visitor& v) {
    v("bytes", bytes, "weight files at most: bytes, or with k, M, G, T (1024 each)");
    v("memory", memory, "resident memory at most, likewise");
    v("decode_tokens_per_s", decode_tokens_per_s, "writing speed at least", above(0));
    v("prefill_tokens_per_s", prefill_tokens_per_s, "reading speed at least", above(0));
  }
};

/// `sweep:` but for `over`, whose keys are the stages' own.
struct SweepSection {
  std::optional<SweepBudgetSection> budget;
  std::optional<std::string> metric;

  template <class Visitor>
  void fields(Visitor& v) {
    v("budget", budget, "what a recommended model may need");
    v("metric", metric, "what the recommended model is best at; default: perplexity");
  }
};

/// The top of a recipe but for `data`, `stages` and `gates`, whose keys the user names.
struct RecipeSection {
  int64_t attar = 1, seed = 0;
  std::string name;
  std::optional<std::string> output, model;
  std::optional<BudgetSection> budget;
  std::optional<EvaluateSection> evaluate;

  template <class Visitor>
  void fields(Visitor& v) {
    v("attar", attar, "the recipe format", required(between(1, 1)));
    v("name", name, "the recipe's name; ${name} stands for it anywhere below", required());
    v("seed", seed, "all randomness comes from it", at_least(0));
    v("output", output, "the run directory");
    v("model", model, "a model directory, a .gguf file, or hf://owner/name[@revision]");
    v("budget", budget, "limits");
    v("evaluate", evaluate, "what to measure at the end");
  }
};

/// What a stage has besides its own options.
struct StageSection {
  std::string name, type, from;

  template <class Visitor>
  void fields(Visitor& v) {
    v("name", name, "the stage's name and its folder's", required());
    v("type", type, "the kind of stage", required());
    v("from", from, "the stage it starts from, or model; default: the one before");
  }
};

}  // namespace attar
