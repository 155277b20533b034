// A model on disk as everything that computes wants it: its family known, its weights in the form
// that the spec names.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/architecture/family.h"
#include "compress/formats/peft.h"
#include "compress/formats/weights.h"

namespace attar {

struct Model {
  fs::path path;
  nlohmann::ordered_json config;  // of a multimodal model: of its text part alone
  ModelSpec spec;
  std::shared_ptr<const WeightSource> stored;   // as in the files, names as published
  std::shared_ptr<const WeightSource> weights;  // the spec's tensors
  uint64_t weight_bytes = 0;                    // size of the weight files
  std::vector<MappedFile> weight_files;         // empty: `weights` are not those of files alone
  uint64_t config_hash = 0;                     // of the whole configuration
  std::vector<std::string> notes;               // what was passed over, one line each
};

/// Opens a directory, reads its spec and checks its weights' names and shapes (see ModelDirectory,
/// read_model_spec, check_weights, all of whose errors it throws).
Model open_model(const fs::path& path);
Model open_model(ModelDirectory directory);

/// The model with a PEFT adapter folded into its weights (not into `stored`). Adapters name modules
/// as the published model has them. Throws bad_input as formats/peft.h says.
Model with_adapter(Model base, const fs::path& adapter);

/// An adapter of published modules in terms of the spec's: factors of a fused layer become one pair
/// for each part (the same A, B's rows). `where` is the adapter's place. Throws bad_input when a
/// pair does not fit its layer.
Adapter logical_adapter(const ModelSpec& spec, Adapter adapter, const std::string& where);

/// The other way: pairs of parts become one pair of the fused layer, A stacked and B
/// block-diagonal, of a rank that is their sum and an alpha that leaves the scale as it was. Parts
/// without a pair get zero rows. Throws bad_input when parts of one layer have different scales.
Adapter stored_adapter(const ModelSpec& spec, const Adapter& adapter);

}  // namespace attar
