// Whether a packed matrix that comes from a file holds what packing would have written.
#pragma once

#include "compress/kernels/storage.h"

namespace attar {

/// What is wrong: scales or floats that are not finite, zeros beyond the codes; nullptr: nothing.
const char* find_wrong_value(const PackedMatrix::Storage& storage);

}  // namespace attar
