// A GGUF file as a model: a config.json made from its metadata, and its tensors under the names and
// in the form in which the model is published.
#pragma once

#include "compress/formats/gguf/file.h"
#include "compress/formats/weights.h"

namespace attar::gguf {

/// Q8_0, Q5_0 and Q4_0 matrices load as QuantizedMatrix (groups of 32, the same values), F32, F16
/// and BF16 as they stand, every other type as float32. Throws bad_input: an architecture that is
/// not known (with those that are), keys that are missing or contradict each other, a tensor type
/// that is not read.
ModelDirectory open_model_file(const fs::path& path);

/// The same for a file that is open.
ModelDirectory open_model_file(const File& file);

}  // namespace attar::gguf
