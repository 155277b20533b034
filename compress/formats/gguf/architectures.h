// How llama.cpp's architectures name and lay out what Hugging Face checkpoints publish: names of
// tensors, order of rows, and the keys of config.json (ggml-org/llama.cpp,
// gguf-py/gguf/constants.py and convert_hf_to_gguf.py). One row per architecture.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/formats/gguf/file.h"
#include "compress/formats/gguf/links.h"

namespace attar::gguf {

/// How the rows of a matrix (and the elements of its bias) stand in the file.
enum class RowOrder {
  published,
  rotary_q,  // per head, the two halves that rotate together interleaved: (0, d/2, 1, d/2 + 1, …)
  rotary_k,  // the same with the key-value heads
  fused_heads  // published (head, q|k|v, i), in the file (q|k|v, head, i)
};

/// Names without ".weight" and ".bias".
struct TensorName {
  std::string_view file, published;
  RowOrder rows = RowOrder::published;
};

struct Architecture {
  std::string_view name;                     // general.architecture
  std::string_view model_type, model_class;  // of config.json
  std::vector<std::string_view> families;    // of ours that are written as this one
  std::string_view prefix;                   // of published names, where there is one: "bert."
  std::string_view layers;                   // "model.layers.": what stands before a layer's number
  std::vector<TensorName> outside;           // whole names
  std::vector<TensorName> inside;            // after "blk.N." and after `layers` "N."
  float norm_offset = 0;                     // the file's norm weights are this much larger
  bool transposed = false;                   // GPT-2: published matrices of layers are [in, out]
  std::string_view vocabulary_rows = "token_embd.weight";
  /// Adds the architecture's keys to a config.json. Throws bad_input naming the key.
  void (*read_config)(const File& file, nlohmann::ordered_json& config) = nullptr;
  /// The tensors that are not one for one, of a model with this config.json; null: there are none.
  std::vector<Link> (*links)(const nlohmann::ordered_json& config) = nullptr;

  /// How much larger a tensor's numbers are in the file.
  float offset_of(std::string_view file_name) const;
};

/// The table.
std::span<const Architecture> architectures();
/// The row of a file (the first of that name); bad_input listing the known ones.
const Architecture& architecture_of(const File& file);
/// The row that models of one of our families are written as; nullptr when there is none.
const Architecture* architecture_for_family(std::string_view family);

/// How many heads a model has, of queries and of keys.
struct Heads {
  int64_t all = 1, kv = 1;
};

/// The link of a file's tensor that stands for one published tensor; a name that the architecture
/// does not have stays. Throws bad_input when rows that must be reordered don't fit the heads.
Link link_from(const Architecture& architecture, const Tensor& tensor, const Heads& heads,
               const std::string& place);
/// The other way: `tensor` as published with this shape. Nothing when the architecture has no such
/// tensor.
std::optional<Link> link_to(const Architecture& architecture, const std::string& tensor,
                            const std::vector<int64_t>& shape, const Heads& heads);

}  // namespace attar::gguf
