// The keys by which a GGUF file describes a model to llama.cpp.
#pragma once

#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/formats/gguf/architectures.h"
#include "compress/formats/gguf/metadata.h"
#include "compress/pipeline/stage.h"

namespace attar::gguf_export {

/// Something of the spec that the architecture's keys cannot say and its tensors must.
struct Foldings {
  /// The scale of q·k that readers take as given is this many times too small: q's rows (or the
  /// norm over them) are multiplied by it.
  double query = 1;
};

/// general.* and the architecture's own keys. What the file cannot say as it is goes to `fallbacks`
/// when the result is the same where it is valid. Throws bad_input for a family that llama.cpp's
/// architectures don't cover, and for a spec that its keys cannot describe.
gguf::Metadata describe_model(const Model& model, const gguf::Architecture& architecture,
                              Foldings& foldings, std::vector<Fallback>& fallbacks);

/// What describe_model would throw, in one line; empty when it would not.
std::string why_not(const Model& model);

/// The row for the model's family, or bad_input listing the families that have one.
const gguf::Architecture& architecture_of(const Model& model);

/// Adds tokenizer.* from the files of a model directory or another GGUF file; without any, the
/// file says that it has no vocabulary, and so do `fallbacks`.
void describe_tokenizer(const Model& model, gguf::Metadata& metadata,
                        std::vector<Fallback>& fallbacks);

}  // namespace attar::gguf_export
