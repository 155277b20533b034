// Improves a quantized matrix after GPTQ: scales and codes are moved, one at a time, to where the
// output error is smallest given all the others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/formats/quantized_matrix.h"

namespace attar {

struct RefineOptions {
  int sweeps = 4;         // passes over all groups; a pass that changes nothing ends it
  double damping = 0.01;  // of h, as in HessianOptions
};

/// Coordinate descent on tr((W − Q) H (W − Q)ᵀ), the objective of GPTQ: for each group of columns
/// first its scale in closed form (rounded to the layout's scale_dtype), then each of its codes
/// (QuantEase, arXiv 2309.01885, section 3, with scales as further coordinates). A step is taken
/// only when it lowers the loss. w [rows, cols], h [cols, cols]. Zero points stay. Returns how many
/// codes changed. Rows are independent.
int64_t refine(std::span<const float> w, std::span<const float> h, QuantizedMatrix& q,
               const RefineOptions& options = {});

}  // namespace attar
