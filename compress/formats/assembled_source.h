// Weights that several tensors of a checkpoint stand for: what the layouts of quantized matrices
// have in common when they are read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compress/formats/checkpoint.h"
#include "compress/formats/weights.h"

namespace attar {

struct AssembledWeight {
  std::string name;                      // of the dense weight
  std::vector<int64_t> shape;            // likewise
  std::string format;                    // "int4 g128 sym"
  const TensorView* first = nullptr;     // in whose place it is listed
  std::vector<const TensorView*> parts;  // the others; not listed themselves, null is none
  std::function<Weight()> load;
};

/// The checkpoint's tensors, of which some stand together for a weight; the rest are dense.
std::shared_ptr<const WeightSource> assemble(std::shared_ptr<const Checkpoint> checkpoint,
                                             std::vector<AssembledWeight> weights);

/// The tensor as 32-bit words.
std::vector<int32_t> words_of(const TensorView& tensor);

/// bad_input naming the tensor unless it is of that type and shape.
void expect_tensor(const Checkpoint& checkpoint, const TensorView& tensor, DType dtype,
                   const std::vector<int64_t>& shape);

/// Scales as floats; bad_input for another type than F32, F16, BF16 and for one that is not finite.
std::vector<float> read_scales(const Checkpoint& checkpoint, const TensorView& tensor);

}  // namespace attar
