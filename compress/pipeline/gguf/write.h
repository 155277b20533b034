// A model as one GGUF file that llama.cpp reads.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/pipeline/gguf/mixtures.h"
#include "compress/pipeline/stage.h"

namespace attar::gguf_export {

/// How much the square of each input column's error counts, by the name of the stored weight
/// ("model.layers.0.mlp.up_proj.weight"): Σ x² over calibration tokens, say. Weights that are not
/// there are encoded without.
using Importance = std::map<std::string, std::vector<float>>;

/// Rows of a stored tensor that are encoded already, all of them as [out, in] in the published
/// order, in the type that matrix_types() gives; empty: the tensor is encoded from its values.
using ReadyRows = std::function<std::vector<std::byte>(const std::string& stored)>;

/// The block types with codes that the file will have, by stored tensor: of those whose rows it
/// takes as they are, in any order.
std::map<std::string, const gguf::TensorType*> matrix_types(const Model& model,
                                                            const Mixture& mixture);

/// Writes `path`. Matrices that are quantized in the model with the same codes as the file's type
/// has (int4 or int8, symmetric, groups that 32 divides, float16 scales) keep their codes; those
/// that `ready` gives are taken as they are, and every other is encoded from its values. Throws
/// bad_input before anything is written when the model cannot be said in GGUF.
void write(const Model& model, const Mixture& mixture, const Importance& importance,
           const std::filesystem::path& path, StageReport& report, const ReadyRows& ready = {});

}  // namespace attar::gguf_export
