// Second moments of what each linear layer of a block reads, from calibration windows.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/hidden_stream.h"

namespace attar {

/// Σ over tokens of z zᵀ with z = x, or z = [x, d] when the error d = (exact input − x) is followed
/// too.
struct InputMoments {
  int64_t size = 0;  // of x
  bool with_error = false;
  int64_t tokens = 0;
  std::vector<double> gram;  // [width, width], width = size or 2 · size

  int64_t width() const { return with_error ? 2 * size : size; }
  void add(const float* z, int64_t rows);
  /// 2 / tokens · Σ x xᵀ, [size, size]: GPTQ's H.
  std::vector<float> hessian() const;
  /// 2 / tokens · Σ d xᵀ, [size, size]; needs with_error.
  std::vector<float> error_cross() const;
};

/// Layers that read the same input share its moments: module -> the first of those that read it.
std::map<std::string, std::string> input_leaders(const BlockSpec& block);

/// The exact model beside the one that is being quantized: its hidden states and its block.
struct ExactPath {
  const HiddenStream* stream = nullptr;
  const Block* block = nullptr;
};

/// Takes all windows of `stream` through block `index` and gathers the moments of the inputs of
/// `leaders`. With an exact path, errors are followed too. Throws failure naming the module whose
/// input is not finite.
std::map<std::string, InputMoments> collect_moments(const HiddenStream& stream, const Block& block,
                                                    int64_t index,
                                                    const std::set<std::string>& leaders,
                                                    const ExactPath& exact = {});

}  // namespace attar
