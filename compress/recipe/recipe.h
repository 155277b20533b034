// A recipe: the model, its data, the stages, the evaluation and the gates, from one YAML file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/node.h"
#include "compress/recipe/sweep.h"

namespace attar {

/// One entry of `data:`. Paths are absolute once loaded.
struct DataSpec {
  std::string name;            // "train"; empty for --data FILE
  std::filesystem::path path;  // a file, or a directory of text files
  std::string format;          // text | jsonl | csv | tsv | ids; empty = from the file's extension
  std::string include;         // for a directory: file-name globs, space separated ("*.h *.hpp")
  std::string field = "text";  // jsonl / csv / tsv: where the text is
  std::string pair;            // where the second text of a pair is; empty = no pairs
  std::string label;           // where the label is (classification)
  std::string messages;        // jsonl: where the list of chat messages is
  std::string split;           // text: "" = one document a file, else the line that parts documents
  std::optional<int64_t> samples;    // windows or documents at most, drawn with the recipe's seed
  std::optional<int64_t> length;     // ids a window
  std::optional<double> skip, take;  // fractions of the documents: leave out the first, use at most
  std::string from;                  // another entry whose fields are the defaults
  std::string where;                 // for messages
};

/// One entry of `stages:`.
struct StageSpec {
  std::string name, type;
  std::string from;  // a stage's name or "model"; resolved (never empty) once loaded
  Node options;      // the whole map; name, type and from are not the stage's own
  std::string where;
};

/// One item of `evaluate.tasks`: "FILE" or "NAME=FILE".
struct TaskSpec {
  std::string name;            // NAME, or the file's
  std::string kind;            // NAME: a kind of task, if there is one of that name
  std::filesystem::path path;  // absolute
  std::string where;
};

/// `evaluate:`
struct EvaluateSpec {
  std::string data;                  // a data entry's name
  std::string reference = "model";   // or "" for none
  std::vector<std::string> metrics;  // empty = all that apply
  std::vector<std::string> models;   // empty = the model and every stage that emits one
  std::optional<int64_t> window;
  std::vector<TaskSpec> tasks;
  int64_t shots = 0;               // solved examples before each question of a task
  std::optional<int64_t> samples;  // examples of each task at most
  std::string where;
  Node node;                          // the map itself, for places in messages
  std::string activations = "exact";  // or "int16", "int8": inputs of quantized weights
  int64_t reference_top_k = 0;        // ids kept of the reference's distributions; 0 = not kept
};

struct Gate {
  std::string model, metric;  // metric: "recovery" or a metric's name with _max / _min
  double bound = 0;
  std::string where;
};

struct Recipe {
  std::filesystem::path file;
  std::string name;
  uint64_t seed = 0;
  std::filesystem::path output;  // absolute
  std::string model;  // absolute path, hf:// address, or "" (the first stage trains from scratch)
  std::string model_where;             // for messages
  std::optional<uint64_t> ram_budget;  // bytes
  std::vector<DataSpec> data;
  std::vector<StageSpec> stages;
  std::optional<EvaluateSpec> evaluate;
  std::vector<Gate> gates;
  std::optional<SweepSpec> sweep;  // carried out already: its variants are the stages
  std::string resolved_yaml;       // after include, ${…} and --set
  std::string sha256;              // of resolved_yaml

  const DataSpec* find_data(const std::string& name) const;
  const StageSpec* find_stage(const std::string& name) const;
};

/// Keys that every stage has besides its own options.
inline const std::vector<std::string> kStageKeys = {"name", "type", "from"};

/// Parses and checks everything that needs no stage table; mistakes go to `problems`. `overrides`
/// are "key.path=value" from --set; `output` overrides the recipe's.
Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                   const std::optional<std::filesystem::path>& output, Problems& problems);

/// The same from text (the embedded default); relative paths are relative to `base`.
Recipe parse_recipe(const std::string& text, const std::string& file_name,
                    const std::filesystem::path& base, const std::vector<std::string>& overrides,
                    const std::optional<std::filesystem::path>& output, Problems& problems);

/// "8G", "512M", "64k", "1073741824" -> bytes.
std::optional<uint64_t> parse_bytes(const std::string& text);

}  // namespace attar
