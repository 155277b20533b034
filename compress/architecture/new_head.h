// A classifier made of an encoder: the encoder's weights, a new last layer for other labels.
#pragma once

#include "compress/architecture/model.h"

namespace attar {

/// The encoder of a directory (with or without a head of its own) as a classifier with these
/// labels. Its last layer is new, N(0, 0.02) by `seed` with biases of zero, and so is the layer
/// before it where the files have none; `made` names them. Throws bad_input as open_model does, for
/// fewer than two labels, and for a model that is no encoder.
Model open_with_labels(const fs::path& path, const std::vector<std::string>& labels, uint64_t seed,
                       std::vector<std::string>& made);

}  // namespace attar
